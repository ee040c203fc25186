/** `npm run demo`: makes the clone ready, then starts the compiled demo with the same arguments. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkNode, ensureBuilt, ensureInstalled, root } from '../setup.mjs';

checkNode();
// On Node.js 20 the SDK, with which --cluster makes its bucket, else prints an advertisement of Node.js 22 amid the progress.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';
ensureInstalled();
ensureBuilt();
await import(pathToFileURL(join(root, 'test', 'dist', 'demo', 'main.js')).href);
