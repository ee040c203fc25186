import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { epsilonFor } from '@fedlora/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Network } from '../support/network.js';
import { demoBase, smallNetwork, smallRun, statusOf, until } from './small-network.js';

describe('three organisations with a threshold of three', () => {
  let network: Network;
  beforeAll(async () => {
    network = await smallNetwork(3);
  });
  afterAll(async () => {
    await network.stop();
  });

  /** Loss on rows that nobody trained on, of the base model or with an adapter. */
  async function lossOf(...adapter: string[]): Promise<number> {
    const test = join(network.options.directory, 'data', 'test.shared.jsonl');
    const arguments_ = ['eval', '--base', demoBase, ...adapter, '--data', test, '--json'];
    const { files } = JSON.parse((await network.fedlora(arguments_)).stdout) as { files: { loss: number }[] };
    return files[0].loss;
  }

  it('train an adapter together, and each ledger holds one charge for each round', async () => {
    const run = await network.startRun(await smallRun(3));
    const ended = await network.untilRunEnds(run.id);
    expect(ended).toMatchObject({ status: 'completed', completedRounds: 3, abortedRounds: 0, threshold: 3 });
    expect(ended.epsilon).toBeGreaterThan(0.1);
    for (const name of ['clinic', 'bank', 'council']) {
      const { stdout } = await network.fedlora(['privacy', '--home', network.home(name), '--json']);
      const ledger = JSON.parse(stdout) as { entries: unknown[]; epsilon: number };
      expect(ledger.entries).toHaveLength(3);
      expect(ledger.epsilon).toBeCloseTo(ended.epsilon ?? Number.NaN, 9);
      await network.fedlora(['privacy', 'verify', '--home', network.home(name)]);
    }
  });

  it('publish a PEFT directory that evaluates on the base model', async () => {
    const { version } = await network.overview();
    const { runs } = await network.overview();
    const directory = join(network.coordinatorData, 'versions', runs[0].version);
    expect(version).not.toBe('');
    expect((await readdir(directory)).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'attestation.intoto.jsonl',
      'manifest.json',
      'manifest.sig',
    ]);
    const test = join(network.options.directory, 'data', 'test.shared.jsonl');
    const { stdout } = await network.fedlora([
      'eval',
      '--base',
      demoBase,
      '--adapter',
      directory,
      '--data',
      test,
      '--json',
    ]);
    const { files } = JSON.parse(stdout) as { files: { rows: number; loss: number }[] };
    expect(files[0].rows).toBe(20);
    expect(files[0].loss).toBeGreaterThan(0);
  });

  it('learn r x r between frozen factors in a run of fed-sb, and publish plain LoRA that does better than the base', async () => {
    const description = (await smallRun(6)) as { adapter: object; privacy: object; server: object };
    const run = await network.startRun({
      ...description,
      adapter: { ...description.adapter, rule: 'fed-sb', r: 16 },
      privacy: { ...description.privacy, noiseMultiplier: 0.4 },
      server: { ...description.server, learningRate: 0.2 },
    });
    const ended = await network.untilRunEnds(run.id);
    expect(ended).toMatchObject({ status: 'completed', completedRounds: 6 });
    expect(ended.bytesUpPerClient).toBe(6 * 4 * (4 * 7 * 16 * 16 + 2)); // 4 blocks of 7 layers, and two metrics
    const directory = join(network.coordinatorData, 'versions', ended.version);
    expect(await readdir(directory)).toContain('fed_sb.safetensors');
    expect(await lossOf('--adapter', directory)).toBeLessThan(0.9 * (await lossOf()));
  });

  it('learn in few rounds of many steps at home, each organisation under noise of its own, and charge every step', async () => {
    const steps = 8;
    const run = await network.startRun(
      await smallRun(3, {
        privacy: { unit: 'record-local', l2Bound: 1, noiseMultiplier: 0.5, delta: 0.00001, assumedColluders: 1 },
        training: {
          kind: 'local-record-steps',
          steps,
          samplingRate: 0.2,
          expectedRecords: 60,
          maximumRecords: 220,
          optimizer: 'adamw',
          learningRate: 0.01,
        },
        server: { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 },
        deadlinesMs: { advertising: 5000, sharing: 5000, training: 60_000, checking: 5000, unmasking: 5000 },
      }),
    );
    const ended = await network.untilRunEnds(run.id);
    expect(ended).toMatchObject({ status: 'completed', completedRounds: 3, unit: 'record-local' });
    const { epsilon } = epsilonFor([{ noiseMultiplier: 0.5, samplingRate: 0.2, steps: 3 * steps }], 1e-5);
    expect(ended.epsilon).toBeCloseTo(epsilon, 9);
    const { stdout } = await network.fedlora(['privacy', '--home', network.home('clinic'), '--json']);
    const { entries } = JSON.parse(stdout) as { entries: { runId: string; unit: string; steps: number }[] };
    const charged = entries.filter(({ runId }) => runId === run.id);
    expect(charged).toMatchObject(Array(3 + ended.abortedRounds).fill({ unit: 'record-local', steps }));
    const directory = join(network.coordinatorData, 'versions', ended.version);
    expect(await lossOf('--adapter', directory)).toBeLessThan(0.9 * (await lossOf()));
    expect(await readFile(join(directory, 'README.md'), 'utf8')).toContain('unit `record-local`');
  });

  it('lose a round when a client is killed in the middle, with its name in the cause, and the next round works', async () => {
    const run = await network.startRun(await smallRun(3));
    const ending = network.untilRunEnds(run.id);
    await until(network, run.id, (round) => round.phase === 'training' && statusOf(round, 'bank') === 'shared');
    await network.killClient('bank');
    const lost = await until(network, run.id, (round) => round.phase === 'aborted');
    expect(lost.cause).toContain('bank');
    network.startClient('bank');
    const ended = await ending;
    expect(ended).toMatchObject({ status: 'completed', completedRounds: 3 });
    expect(ended.abortedRounds).toBeGreaterThanOrEqual(1);
  });

  it('finish the round in which the coordinator was killed and started again', async () => {
    const run = await network.startRun(await smallRun(3));
    const during = await until(network, run.id, (round) => round.phase === 'training');
    await network.killCoordinator();
    await network.startCoordinator();
    const ended = await network.untilRunEnds(run.id);
    expect(ended).toMatchObject({ status: 'completed', completedRounds: 3, abortedRounds: 0 });
    const rounds = await network.rounds(run.id);
    expect(rounds.find((round) => round.id === during.id)?.phase).toBe('done');
  });

  it('leave nothing of a contribution on the coordinator’s disk after the round', async () => {
    const left = await readdir(join(network.coordinatorData, 'blobs'), { recursive: true, withFileTypes: true });
    expect(left.filter((entry) => entry.isFile()).map((entry) => entry.name)).toEqual([]);
  });

  it('decline a run that the owner’s policy forbids, before any charge', async () => {
    const before = await readFile(join(network.home('clinic'), 'policy.yaml'), 'utf8');
    expect(before).toMatch(/epsilon/i);
    const run = await network.startRun(
      await smallRun(2, {
        privacy: { unit: 'none', l2Bound: 1, noiseMultiplier: 0, delta: 0.00001, assumedColluders: 1 },
        maximumConsecutiveAborts: 2,
      }),
    );
    const ended = await network.untilRunEnds(run.id);
    expect(ended.status).toBe('failed');
    const rounds = await network.rounds(run.id);
    expect(rounds[0].participants.map((one) => one.status)).toContain('declined');
    expect(rounds[0].cause).toMatch(/policy/);
  });
});

describe('five organisations with a threshold of four', () => {
  let network: Network;
  beforeAll(async () => {
    network = await smallNetwork(5);
  });
  beforeEach(async () => {
    for (const [name, child] of network.clients)
      if (child.exitCode !== null || child.signalCode !== null) network.startClient(name);
    await network.untilAllConnected();
  });
  afterAll(async () => {
    await network.stop();
  });

  it('lose nothing when a client is killed after sharing its keys', async () => {
    const run = await network.startRun(await smallRun(1));
    const ending = network.untilRunEnds(run.id);
    await until(network, run.id, (round) => round.phase === 'training' && statusOf(round, 'museum') === 'shared');
    await network.killClient('museum');
    expect(await ending).toMatchObject({ status: 'completed', completedRounds: 1, abortedRounds: 0, threshold: 4 });
    const [round] = await network.rounds(run.id);
    expect(statusOf(round, 'museum')).toBe('dropped');
  });

  it('lose nothing when a client is killed after its masked upload', async () => {
    const run = await network.startRun(await smallRun(1));
    const ending = network.untilRunEnds(run.id);
    await until(network, run.id, (round) => round.phase === 'training');
    network.clients.get('school')?.kill('SIGSTOP');
    await until(network, run.id, (round) => statusOf(round, 'clinic') === 'uploaded');
    await network.killClient('clinic');
    network.clients.get('school')?.kill('SIGCONT');
    expect(await ending).toMatchObject({ status: 'completed', completedRounds: 1, abortedRounds: 0 });
    const [round] = await network.rounds(run.id);
    expect(statusOf(round, 'clinic')).toBe('dropped');
  });
});
