/** `npm run demo`: makes the clone ready, then starts the compiled demo with the same arguments. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkNode, ensureBuilt, ensureInstalled, root } from '../setup.mjs';

checkNode();
ensureInstalled();
ensureBuilt();
await import(pathToFileURL(join(root, 'test', 'dist', 'demo', 'main.js')).href);
