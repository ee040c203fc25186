/** `npm run study`: makes the clone ready, then starts the compiled study with the same arguments. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkNode, ensureBuilt, ensureInstalled, root } from '../setup.mjs';

checkNode();
ensureInstalled();
ensureBuilt();
await import(pathToFileURL(join(root, 'test', 'dist', 'study', 'main.js')).href);
