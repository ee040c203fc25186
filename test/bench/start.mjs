/** `npm run bench:engine` and its like: makes the clone ready, then starts the compiled benchmark named first with the other arguments. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkNode, ensureBuilt, ensureInstalled, root } from '../setup.mjs';

checkNode();
ensureInstalled();
ensureBuilt();
const [name] = process.argv.splice(2, 1);
await import(pathToFileURL(join(root, 'test', 'dist', 'bench', `${name}.js`)).href);
