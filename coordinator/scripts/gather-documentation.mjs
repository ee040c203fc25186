/** Copies what the coordinator serves at `/docs` into its compiled program, so that the program is whole without the repository. */

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { filesOf, readLibrary } from '../dist/documentation/library.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = fileURLToPath(new URL('../dist/documentation/files/', import.meta.url));

rmSync(folder, { recursive: true, force: true });
for (const file of filesOf(readLibrary(root))) {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  cpSync(join(root, file), join(folder, file));
}
