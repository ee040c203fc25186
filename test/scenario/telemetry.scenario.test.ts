/** What onnxruntime would tell Microsoft, and leaves in the user's folders where it does. Needs `npm run build`. */

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Processes } from '../support/processes.js';

const root = join(import.meta.dirname, '..', '..');
const fedlora = join(root, 'client', 'bin', 'fedlora.mjs');
const processes = new Processes();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-telemetry-'));
});
afterAll(async () => {
  await processes.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the telemetry of onnxruntime', () => {
  it.each([
    ['a model that is evaluated', 'cpu'],
    ['devices that are looked for', 'auto'],
  ])('is off for %s: no identifier, no event and no log is left', async (_, device) => {
    const home = await mkdtemp(join(folder, 'home-'));
    const rows = join(home, 'rows.jsonl');
    await writeFile(rows, '{"instruction":"Which way?","output":"That way."}\n');
    const env = { HOME: home, XDG_CACHE_HOME: join(home, '.cache'), TMPDIR: home, CI: undefined };
    const args = ['--base', join(root, 'deploy', 'demo', 'base'), '--data', rows, '--device', device, '--json'];
    const { stdout } = await processes.run([fedlora, 'eval', ...args], { env });
    expect(JSON.parse(stdout)).toHaveProperty('files');
    const left = await readdir(home, { recursive: true });
    expect(left.filter((name) => /microsoft|onnxruntime|mat-debug|\.ses$/i.test(name))).toEqual([]);
  });
});
