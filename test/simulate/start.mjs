/** `npm run simulate`: makes the clone ready, then starts the compiled simulation with the same arguments. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkNode, ensureBuilt, ensureInstalled, root } from '../setup.mjs';

checkNode();
ensureInstalled();
ensureBuilt();
await import(pathToFileURL(join(root, 'test', 'dist', 'simulate', 'main.js')).href);
