/** A reader that goes away, as `fedlora … | head` does. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';

const program = resolve(import.meta.dirname, '../../client/bin/fedlora.mjs');

it('a command whose output nobody reads any more ends without a word, and says so by its exit code', async () => {
  const child = spawn(process.execPath, [program, 'policy', 'schema'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy(); // Before it has loaded, let alone written.
  const [errors, [code]] = await Promise.all([text(child.stderr), once(child, 'exit') as Promise<[number | null]>]);
  expect(errors).toBe('');
  expect(code).toBe(141); // As a shell says of a program that SIGPIPE ended.
});
