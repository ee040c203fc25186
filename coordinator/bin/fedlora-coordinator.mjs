#!/usr/bin/env node
/** Starts the coordinator: `fedlora-coordinator [worker | admin-link] [--config FILE]`. The program is dist/main.js, made by `npm run build`. */

import { existsSync } from 'node:fs';

const main = new URL('../dist/main.js', import.meta.url);
if (!existsSync(main)) {
  process.stderr.write('The coordinator is not built yet: run `npm run build` in the root of the repository.\n');
  process.exit(20);
}
await import(main.href);
