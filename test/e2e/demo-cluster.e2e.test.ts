/**
 * The demo, its organisations and their training as `npm run demo` has them, on two coordinators and two workers behind a proxy: whoever
 * drives is killed in each phase of a round in turn.
 */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { phasesOfRound } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { missingForCluster } from '../support/cluster.js';
import { Processes, type Finished } from '../support/processes.js';
import { root } from './small-network.js';

const ROUNDS = 6;

interface Report {
  readonly rounds: number;
  readonly epsilon: number;
  readonly adapterDir: string;
  readonly cluster: {
    readonly outages: readonly { readonly phase: string; readonly roundId: string }[];
    readonly rounds: readonly {
      readonly id: string;
      readonly number: number;
      readonly phase: string;
      readonly cause: string | null;
      readonly version: string | null;
    }[];
  };
}

if (missingForCluster.length > 0)
  it(`the demo is not run on a cluster here: ${missingForCluster.join('; ')}`, () => {
    expect(missingForCluster).not.toEqual([]);
  });
else
  describe('the demo on a cluster', () => {
    const processes = new Processes();
    let folder: string;
    let finished: Finished;
    let report: Report;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'fedlora-demo-'));
      const where = ['--state', join(folder, 'state'), '--report', join(folder, 'report.json')];
      finished = await processes.run([
        join(root, 'test', 'demo', 'start.mjs'),
        ...['--cluster', '--no-compare', '--rounds', String(ROUNDS), ...where],
      ]);
      expect(finished, finished.stderr).toMatchObject({ code: 0 });
      report = JSON.parse(await readFile(join(folder, 'report.json'), 'utf8')) as Report;
    }, 300_000);
    afterAll(async () => {
      await processes.stop();
      await rm(folder, { recursive: true, force: true });
    });

    it('goes on although the coordinator that drives is killed in each phase of a round', () => {
      const { outages } = report.cluster;
      expect(outages.map(({ phase }) => phase).sort()).toEqual([...phasesOfRound(false)].sort());
      const began = report.cluster.rounds.map(({ id }) => id);
      expect(outages.filter(({ roundId }) => !began.includes(roundId))).toEqual([]);
    });

    it('accounts for every round: it has a version of its own, or a cause', () => {
      const { rounds } = report.cluster;
      const numbers = rounds.map(({ number }) => number).sort((a, b) => a - b);
      expect(numbers).toEqual(numbers.map((_, i) => i + 1));
      const done = rounds.filter(({ phase }) => phase === 'done');
      expect(done.length).toBe(ROUNDS);
      expect(new Set(done.map(({ version }) => version)).size).toBe(ROUNDS);
      for (const { phase, cause } of rounds.filter((one) => !done.includes(one))) {
        expect(phase).toBe('aborted');
        expect(cause).toMatch(/\w+ \w+/);
      }
      expect(finished.stdout).toContain(`${rounds.length} begun, ${ROUNDS} done, ${rounds.length - ROUNDS} aborted`);
    });

    it('charges privacy, and its adapter is pulled through the proxy', async () => {
      expect(report.rounds).toBe(ROUNDS);
      expect(report.epsilon).toBeGreaterThan(0);
      const config = await readFile(join(report.adapterDir, 'adapter_config.json'), 'utf8');
      expect(JSON.parse(config)).toMatchObject({ peft_type: 'LORA', r: 8 });
    });
  });
