/** The benches run on the built packages: nothing but running them tells that they still fit these. Needs `npm run build`. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { Row } from '../bench/table.js';
import { Processes } from '../support/processes.js';

const program = resolve(import.meta.dirname, '../bench/protocol.mjs');
const all = resolve(import.meta.dirname, '../dist/bench/all.js');
const bench = (...args: readonly string[]): Buffer => execFileSync(process.execPath, [program, ...args]);
const processes = new Processes();
afterAll(() => processes.stop());

it('the bench of the protocol runs a coordinator’s whole part, and finds the sum right', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'fedlora-bench-'));
  for (const role of ['participants', 'coordinator']) bench('--server', '5', '1000', '1', folder, role);
  const result = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8')) as object;
  expect(result).toMatchObject({ n: 5, d: 1000, dropped: 1, cpuSeconds: expect.any(Number) as number });
  await rm(folder, { recursive: true });
});

it('the bench of the protocol says what its cases are, and refuses others by name', () => {
  expect(bench('--list', '--no-build').toString('utf8')).toContain('server-n10-d1e6-2dropped');
  expect(() => bench('--case', 'nothing', '--no-build')).toThrow(/No case is called nothing/);
});

it('npm run bench puts the benches that are asked for into one table, each number with its unit and its target', async () => {
  const { code, stdout } = await processes.run([all, '--quick', '--json', '--only', 'protocol']);
  const { machine, rows, failed } = JSON.parse(stdout) as { machine: object; rows: Row[]; failed: string[] };
  expect({ code, failed }).toEqual({ code: 0, failed: [] });
  expect(machine).toMatchObject({ node: process.versions.node, loadAverage: expect.any(Number) as number });
  const of = (name: string): Row[] => rows.filter((row) => row.case === name);
  expect(of('client-n10-d1e6').map(({ measure, unit }) => `${measure}, ${unit}`)).toEqual([
    'CPU time, s',
    'wall time, s',
    'peak memory, MiB',
  ]);
  expect(of('bytes-per-parameter').at(-1)?.beside).toEqual({ name: 'target', value: 4.01 });
  for (const { value, beside, ratio } of rows) {
    expect(value).toBeGreaterThan(0);
    expect(ratio === null).toBe(beside === null);
  }
});

it('npm run bench refuses a bench that it does not have, by name', async () => {
  const { code, stderr } = await processes.run([all, '--only', 'speed']);
  expect(code).toBe(2);
  expect(stderr).toContain('No bench is called speed.');
});
