/** The load simulator as it is started: a coordinator and clients in processes of their own. Needs `npm run build`. */

import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { SimulationReport } from '../simulate/report.js';
import { Processes, type Finished } from '../support/processes.js';

const program = join(import.meta.dirname, '..', 'dist', 'simulate', 'main.js');
const processes = new Processes();
afterAll(() => processes.stop());

function simulate(...args: readonly string[]): Promise<Finished> {
  return processes.run([program, ...args]);
}

describe('npm run simulate', () => {
  it('carries twelve clients through a round in which one falls silent, and finds the sum of the others right', async () => {
    const size = ['--clients', '12', '--params', '1000', '--dropout', '0.09', '--deadline', '4'];
    const { code, stdout, stderr } = await simulate(...size, '--latency', '5', '--bandwidth', '500', '--json');
    expect(stderr).toContain('round 1');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as SimulationReport;
    expect(report).toMatchObject({ outcome: 'completed', failures: {} });
    expect(report.rounds).toEqual([
      expect.objectContaining({ outcome: 'done', participants: 12, contributors: 11, isSumRight: true }),
    ]);
    expect(report.rounds[0].phaseSeconds.training).toBeGreaterThanOrEqual(4);
    expect(report.waits['sign in'].count).toBe(12);
    // Request and answer each pass the link once.
    expect(report.waits['acknowledge unmasking'].p50).toBeGreaterThanOrEqual(10);
    expect(report.coordinator.receivedBytes).toBeGreaterThan(11 * report.contributionBytes);
    expect(report.coordinator.cpuSeconds).toBeGreaterThan(0);
    expect(report.clients.cpuSeconds).toBeGreaterThan(0);
  });

  it.each([
    [['--clients', '2'], '--clients 2: must be a number from 3 to 2000.'],
    [['--dropout', 'half'], '--dropout half: must be a number from 0 to 0.1.'],
    [['--rounds', '1.5'], '--rounds 1.5: must be a whole number.'],
    [['--speed', '1'], '--help'],
  ])('refuses %s, and says what would do', async (args, message) => {
    const { code, stderr } = await simulate(...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
