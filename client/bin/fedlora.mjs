#!/usr/bin/env node
import { existsSync } from 'node:fs';

const program = new URL('../dist/main.js', import.meta.url);
if (!existsSync(program)) {
  process.stderr.write(
    'Fedlora is not built yet. Run `npm run build` in the repository, then try again.\n[client/not-built]\n',
  );
  process.exit(20);
}
await import(program.href);
