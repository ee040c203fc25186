import { mkdtemp, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { epsilonFor, fromHex, manifestHash, type Manifest } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import {
  decodeAdapter,
  decodeFactorR,
  routes,
  versionId,
  versionMessage,
  type AuditLine,
  type OrganisationDetails,
  type OrganisationView,
  type Overview,
  type Page,
  type RequestPhase,
  type RoundRequest,
  type RoundView,
  type RunView,
  type VersionRecord,
} from '@fedlora/shared';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { meanOf } from '../../test/support/averaging.js';
import { FakeFederation, FakeOrganisation, untilRound, untilRun } from '../../test/support/fake-federation.js';
import { becomeFirstAdmin } from '../../test/support/first-admin.js';
import { json, listAll, operate, send } from '../../test/support/requests.js';
import { AuditLog } from './audit/audit-log.js';
import { VersionsRepository } from './adapters/versions.repository.js';
import { RoundsRepository } from './rounds/rounds.repository.js';
import { ContributionStore } from './storage/contribution-store.js';
import { openDatabase } from './storage/database.js';
import { startCoordinator, type RunningCoordinator } from './start-coordinator.js';

const NAMES = ['bank', 'clinic', 'council', 'museum', 'school'];
const SHAPE = {
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
};

/** Differences averaged as they are: the adapter moves by exactly the mean of the contributions. */
const averaging = {
  title: 'A run',
  rounds: 2,
  base: { name: 'tiny', digest: 'b'.repeat(64), shape: SHAPE },
  adapter: { rule: 'ffa-svd', r: 4, lora_alpha: 8, target_modules: ['q_proj', 'up_proj'], rebaseEvery: 0 },
  data: { format: 'alpaca', maximumLength: 64 },
  privacy: { unit: 'none', l2Bound: 1, noiseMultiplier: 0, delta: 0, assumedColluders: 1 },
  training: { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
  server: { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 },
  deadlinesMs: { advertising: 5000, sharing: 5000, training: 5000, checking: 5000, unmasking: 5000 },
};

/** The same with record-level noise. */
const withNoise = {
  ...averaging,
  privacy: { unit: 'record', l2Bound: 1, noiseMultiplier: 1, delta: 1e-5, assumedColluders: 1 },
  training: { kind: 'record-step', samplingRate: 0.05, expectedRecords: 30, maximumRecords: 50 },
  server: { kind: 'adam', learningRate: 0.01, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
};

/** Differences of steps at home that have their noise, averaged as they are. */
const withOwnNoise = {
  ...averaging,
  privacy: { unit: 'record-local', l2Bound: 1, noiseMultiplier: 1, delta: 1e-5, assumedColluders: 1 },
  training: {
    kind: 'local-record-steps',
    steps: 4,
    samplingRate: 0.05,
    expectedRecords: 10,
    maximumRecords: 50,
    learningRate: 0.1,
  },
};

let folder: string;
let coordinator: RunningCoordinator;
let token: string;
let federation: FakeFederation;

async function start(): Promise<void> {
  coordinator = await startCoordinator({
    dataFolder: folder,
    host: '127.0.0.1',
    port: 0,
    logLevel: 'silent',
    federationKey: federation.federationKey,
  });
  // The token of the first start is good at every other.
  if (coordinator.setupToken !== undefined)
    token = (await becomeFirstAdmin(coordinator.url, coordinator.setupToken)).token;
}

async function startRun(description: object): Promise<RunView> {
  return operate<RunView>(coordinator.url, token, 'POST', routes.runs, description);
}

/** Values of B of a version, or of what its rule trains, in layout order. */
async function valuesOf(version: string): Promise<number[]> {
  const { modules, r, rule } = (await manifestOf(version)).adapter;
  const file = (name: string): Promise<Buffer> => readFile(join(folder, 'versions', version, name));
  if (rule === 'fed-sb') return decodeFactorR(await file('fed_sb.safetensors'), modules, r).flatMap((R) => [...R]);
  const adapter = decodeAdapter(await file('adapter_model.safetensors'), modules, r);
  return adapter.modules.flatMap(({ A, B }) => (rule === 'fedavg' ? [...A, ...B] : [...B]));
}

let manifests = new Map<string, Manifest>();
async function manifestOf(version: string): Promise<Manifest> {
  const record = JSON.parse(
    await readFile(join(folder, 'versions', version, 'manifest.json'), 'utf8'),
  ) as VersionRecord;
  const manifest = manifests.get(record.manifestHash);
  if (manifest === undefined) throw new Error('The test did not see the manifest of this version.');
  return manifest;
}

/** Remembers the manifests that organisations are offered. */
function seeManifests(): void {
  manifests = new Map();
  const [first] = federation.organisations;
  first.ignores = (request: RoundRequest) => {
    if (request.offer !== undefined) {
      const manifest = JSON.parse(request.offer.manifest) as Manifest;
      manifests.set(manifestHash(manifest), manifest);
    }
    return false;
  };
}

/** The mean of what the survivors contributed to a round, in units of the update, without the metrics. */
function plainMean(roundId: string, survivors: readonly string[], manifest: Manifest, length: number): number[] {
  const counted = federation.organisations.filter(({ name }) => survivors.includes(name));
  return meanOf(
    counted.map(({ contributed }) => contributed.get(roundId)),
    manifest,
    length,
  );
}

async function setUp(count: number): Promise<void> {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-coordinator-'));
  federation = new FakeFederation();
  await start();
  await federation.enrol(coordinator.url, token, NAMES.slice(0, count));
  await federation.connect(coordinator.url);
  seeManifests();
}

async function tearDown(): Promise<void> {
  federation.disconnect();
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
}

describe('three organisations with a threshold of three', () => {
  beforeAll(() => setUp(3));
  afterAll(tearDown);

  it.each([
    ['ffa-svd', 'B trained, A frozen', 4 * (16 + 24)],
    ['fedavg', 'inexact', 4 * (16 + 16) + 4 * (16 + 24)],
    ['fed-sb', 'R trained between frozen A and B', 2 * 4 * 4],
  ])('with %s move the adapter by exactly the mean of what they contributed', async (rule, note, parameters) => {
    const { id } = await startRun({ ...averaging, adapter: { ...averaging.adapter, rule } });
    const run = await untilRun(coordinator.url, token, id);
    expect(run).toMatchObject({
      status: 'completed',
      completedRounds: 2,
      abortedRounds: 0,
      threshold: 3,
      epsilon: null,
      bytesUpPerClient: 2 * 4 * (parameters + 2), // two rounds, words of 4 bytes, two metrics
    });
    expect(await readFile(join(folder, 'versions', run.version, 'README.md'), 'utf8')).toContain(note);
    const rounds = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    for (const { id: roundId, baseVersion, version } of rounds) {
      const before = await valuesOf(baseVersion);
      const after = await valuesOf(version ?? '');
      const mean = plainMean(roundId, NAMES, await manifestOf(baseVersion), before.length);
      after.forEach((value, i) => expect(value).toBe(Math.fround(before[i] + Math.fround(mean[i]))));
    }
  });

  it('spend privacy round by round, and are told by the card', async () => {
    const { id } = await startRun(withNoise);
    const run = await untilRun(coordinator.url, token, id);
    expect(run.status).toBe('completed');
    expect(run.epsilon).toBeGreaterThan(0.1);
    expect(run.epsilon).toBeCloseTo(run.projectedEpsilon ?? Number.NaN, 12);
    const [last, first] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    expect(first.epsilon).toBeLessThan(last.epsilon ?? 0);
    expect(first.noiseToSignal).toBeGreaterThan(0.5);
    const card = await readFile(join(folder, 'versions', run.version, 'README.md'), 'utf8');
    expect(card).toContain(`epsilon ${run.epsilon?.toFixed(3)} at delta 0.00001`);
  });

  it('with unit "record-local" move the adapter by exactly the mean, at the price of every local step, and the card says whose noise it is', async () => {
    const { id } = await startRun(withOwnNoise);
    const run = await untilRun(coordinator.url, token, id);
    const { epsilon } = epsilonFor([{ noiseMultiplier: 1, samplingRate: 0.05, steps: 2 * 4 }], 1e-5);
    expect(run).toMatchObject({ status: 'completed', completedRounds: 2, unit: 'record-local', epsilon });
    const rounds = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    expect(rounds[1].epsilon).toBeLessThan(epsilon);
    for (const { id: roundId, baseVersion, version, noiseToSignal } of rounds) {
      const before = await valuesOf(baseVersion);
      const manifest = await manifestOf(baseVersion);
      const mean = plainMean(roundId, NAMES, manifest, before.length);
      const moved = (await valuesOf(version ?? '')).map((value, i) => value - before[i]);
      moved.forEach((value, i) => expect(value).toBeCloseTo(mean[i], 7));
      expect(Math.hypot(...moved)).toBeGreaterThan(0);
      // Four steps of 0.1 in each of three: noise of z D2 in each over ten records, and a made-up sum of norm 1, the same in all.
      const perStep = Math.sqrt(1.02) * (1 + 2 ** -9) * Math.sqrt(before.length);
      expect(noiseToSignal).toBeCloseTo(((0.1 / 10) * perStep * Math.sqrt(4 / 3)) / Math.hypot(...moved), 2);
    }
    const manifest = await manifestOf(run.version);
    // Four steps of 0.1 along gradients of 1 in one direction, and along noise of its mean length, over 10 records and 162 values.
    const likely = 0.1 * (4 + (Math.sqrt(1.02) * (1 + 2 ** -9) * Math.sqrt(4 * 162)) / 10);
    const updateBound = expect.closeTo(likely, 5) as number;
    expect(manifest.training).toMatchObject({ optimizer: 'sgd', steps: 4, updateBound });
    const card = await readFile(join(folder, 'versions', run.version, 'README.md'), 'utf8');
    expect(card).toContain(`(unit \`record-local\`): **epsilon ${epsilon.toFixed(3)} at delta 0.00001**`);
    expect(card).toContain('Differential privacy for **one training record**');
    expect(card).toContain('added all of the noise that protects its records itself');
    expect(card).not.toContain('collude');
  });

  it('with unit "record-local" and AdamW do not claim to know how much of a sum is noise', async () => {
    const training = { ...withOwnNoise.training, optimizer: 'adamw' };
    const { id } = await startRun({ ...withOwnNoise, rounds: 1, training });
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed' });
    const [round] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    expect(round.noiseToSignal).toBeNull();
    const manifest = await manifestOf(round.version ?? '');
    // A tenth in each of four steps and 162 values.
    expect(manifest.training).toMatchObject({ updateBound: expect.closeTo(0.4 * Math.sqrt(4 * 40 + 2), 9) as number });
  });

  it.each([
    [{ privacy: { ...withOwnNoise.privacy, unit: 'record' } }, 'training.kind'],
    [{ privacy: { ...withOwnNoise.privacy, noiseMultiplier: 0 } }, 'privacy.noiseMultiplier'],
    [{ training: averaging.training }, 'training.kind'],
    [{ training: { ...withOwnNoise.training, steps: undefined } }, 'training.steps is missing'],
    [{ training: { ...withOwnNoise.training, optimizer: 'lion' } }, 'optimizer must be one of'],
    [{ training: { ...withOwnNoise.training, updateBound: 0 } }, 'updateBound must be a positive number'],
  ])('are refused steps at home with %j', async (changes, why) => {
    const response = await send(coordinator.url, 'POST', routes.runs, token, { ...withOwnNoise, ...changes });
    expect(response.ok).toBe(false);
    expect(await response.text()).toContain(why);
  });

  it('publish versions that are signed, named by their content and linked to their parents', async () => {
    const { runs } = await operate<Overview>(coordinator.url, token, 'GET', routes.overview);
    const run = runs.at(-1);
    const directory = join(folder, 'versions', run?.version ?? '');
    expect((await readdir(directory)).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'attestation.intoto.jsonl',
      'manifest.json',
      'manifest.sig',
    ]);
    const record = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as VersionRecord;
    const signature = (await readFile(join(directory, 'manifest.sig'), 'utf8')).trim();
    const seed = fromHex((await readFile(join(folder, 'coordinator.key'), 'utf8')).trim());
    const key = nodeProvider.ed25519.publicKey(seed);
    expect(nodeProvider.ed25519.verify(fromHex(signature), versionMessage(record), key)).toBe(true);
    expect(versionId(record)).toBe(run?.version);
    expect(record.parent).toMatch(/^[0-9a-f]{40}$/);
    expect(await readFile(join(directory, 'README.md'), 'utf8')).toContain('**No differential privacy.**');
  });

  it('leave nothing of a contribution behind', async () => {
    expect(await readdir(join(folder, 'blobs', 'contributions'))).toEqual([]);
  });

  it('leave nothing of the optimizer behind when the run has ended', async () => {
    await vi.waitFor(async () => expect(await readdir(join(folder, 'optimizer'))).toEqual([]));
  });

  it('lose a round in which one is silent, with its name in the cause, and go on with the next', async () => {
    const [, clinic] = federation.organisations;
    let isSilent = true;
    clinic.ignores = ({ phase }) => isSilent && phase === 'training';
    const short = { ...averaging.deadlinesMs, training: 2000 };
    const { id } = await startRun({ ...averaging, deadlinesMs: short });
    const lost = await untilRound(coordinator.url, token, id, (round) => round.phase === 'aborted');
    isSilent = false;
    expect(lost.cause).toMatch(/training.*2 left of 3, 3 needed.*clinic \(dropped/);
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 1 });
  });

  it('fail a run that everyone declines, at the number of aborts that the operator set', async () => {
    for (const organisation of federation.organisations) {
      organisation.ignores = ({ roundId }) => {
        void organisation.decline(roundId, 'policy/epsilon-cap');
        return true;
      };
    }
    const { id } = await startRun({ ...averaging, maximumConsecutiveAborts: 2 });
    const run = await untilRun(coordinator.url, token, id);
    expect(run).toMatchObject({ status: 'failed', abortedRounds: 2 });
    expect(run.reason).toContain('policy/epsilon-cap');
    seeManifests();
    for (const organisation of federation.organisations.slice(1)) organisation.ignores = () => false;
  });

  it('are refused a run whose frozen factors cannot exist, or with terms that its rule does not have', async () => {
    const refusal = async (changes: object): Promise<string> => {
      const adapter = { ...averaging.adapter, ...changes };
      const response = await send(coordinator.url, 'POST', routes.runs, token, { ...averaging, adapter });
      expect(response.ok).toBe(false);
      return response.text();
    };
    expect(await refusal({ rule: 'ffa-svd', r: 17 })).toContain('has only 16 inputs');
    expect(await refusal({ rule: 'fed-sb', r: 17 })).toContain('has only 16 inputs');
    expect(await refusal({ rule: 'fed-sb', rebaseEvery: 2 })).toContain('adapter.rebaseEvery');
    expect(await refusal({ rule: 'median' })).toContain('rule must be one of');
  });

  it('stop when the operator says so', async () => {
    federation.organisations[1].ignores = ({ phase }) => phase === 'checking';
    const { id } = await startRun(averaging);
    await untilRound(coordinator.url, token, id, (round) => round.phase === 'checking');
    const stopped = await operate<RunView>(coordinator.url, token, 'POST', routes.runStop(id));
    expect(stopped).toMatchObject({ status: 'stopped', completedRounds: 0 });
    const [round] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    expect(round.cause).toContain('operator');
    federation.organisations[1].ignores = () => false;
    expect((await send(coordinator.url, 'POST', routes.runStop(id), token)).status).toBe(409);
  });

  it('pause: the open round finishes, none follows, also over a restart, until the operator resumes', async () => {
    const [, held] = federation.organisations;
    held.ignores = ({ phase }) => phase === 'checking';
    const { id } = await startRun(averaging);
    const open = await untilRound(coordinator.url, token, id, (round) => round.phase === 'checking');
    const pause = (body: object = {}): Promise<Response> =>
      send(coordinator.url, 'POST', routes.runPause(id), token, body);
    expect((await send(coordinator.url, 'POST', routes.runResume(id), token)).status).toBe(409);
    expect(await json(await pause())).toMatchObject({ status: 'paused', endedAt: null, completedRounds: 0 });
    const reason = 'An operator paused the run.';

    await coordinator.close();
    federation.disconnect();
    held.ignores = () => false;
    await start();
    await federation.connect(coordinator.url);
    const done = await untilRun(coordinator.url, token, id, (run) => run.completedRounds === 1);
    expect(done).toMatchObject({ status: 'paused', reason });
    // Again changes nothing, and who comes does not start it.
    expect((await pause()).status).toBe(200);
    held.disconnect();
    await held.connect(coordinator.url);
    expect(await listAll<RoundView>(coordinator.url, token, routes.rounds(id))).toMatchObject([
      { id: open.id, phase: 'done' },
    ]);

    const resumed = await operate<RunView>(coordinator.url, token, 'POST', routes.runResume(id));
    expect(resumed).toMatchObject({ status: 'running' });
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', completedRounds: 2 });
    expect((await pause()).status).toBe(409);
    const { items } = await operate<Page<AuditLine>>(coordinator.url, token, 'GET', `${routes.audit}?event=run.`);
    const entries = items.map(({ entry }) => entry).filter(({ details }) => details.runId === id);
    expect(entries.map(({ event }) => event)).toEqual(['run.ended', 'run.resumed', 'run.paused', 'run.started']);
    expect(entries[1]).toMatchObject({ before: { status: 'paused' }, after: { status: 'running' } });
  });

  it('pause at once if asked: the open round is aborted, and its abort no longer counts after the resume', async () => {
    federation.organisations[1].ignores = ({ phase }) => phase === 'checking';
    const { id } = await startRun({ ...averaging, rounds: 1, maximumConsecutiveAborts: 1 });
    await untilRound(coordinator.url, token, id, (round) => round.phase === 'checking');
    await operate(coordinator.url, token, 'POST', routes.runPause(id), {});
    await operate(coordinator.url, token, 'POST', routes.runPause(id), { abortRound: true });
    const paused = await untilRun(coordinator.url, token, id, (run) => run.abortedRounds === 1);
    expect(paused).toMatchObject({ status: 'paused', completedRounds: 0 });
    const [round] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    expect(round).toMatchObject({ phase: 'aborted', cause: 'An operator paused the run.' });
    federation.organisations[1].ignores = () => false;
    await operate(coordinator.url, token, 'POST', routes.runResume(id));
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', completedRounds: 1 });
  });

  it('complete, and stop, while they are paused', async () => {
    federation.organisations[1].ignores = ({ phase }) => phase === 'checking';
    const last = await startRun({ ...averaging, rounds: 1 });
    await untilRound(coordinator.url, token, last.id, (round) => round.phase === 'checking');
    await operate(coordinator.url, token, 'POST', routes.runPause(last.id), {});
    const other = await startRun({ ...averaging, rounds: 1 });
    await operate(coordinator.url, token, 'POST', routes.runPause(other.id), {});
    expect(await operate(coordinator.url, token, 'POST', routes.runStop(other.id))).toMatchObject({
      status: 'stopped',
    });
    federation.organisations[1].ignores = () => false;
    federation.organisations[1].disconnect();
    await federation.organisations[1].connect(coordinator.url);
    const ended = await untilRun(coordinator.url, token, last.id, (run) => run.endedAt !== null);
    expect(ended).toMatchObject({ status: 'completed', completedRounds: 1 });
  });

  it('wait, and say for whom, while one is away', async () => {
    federation.organisations[2].disconnect();
    const { id } = await startRun({ ...averaging, rounds: 1 });
    const waiting = await untilRun(coordinator.url, token, id, (run) => run.reason !== null);
    expect(waiting.reason).toMatch(/2 of 3 needed.*council/);
    await federation.organisations[2].connect(coordinator.url);
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed' });
  });
});

describe('numbers beside the update', () => {
  beforeEach(() => setUp(3));
  afterEach(tearDown);

  const metrics = { clipping: { quantile: 0.5, learningRate: 0.4 }, evaluation: { fraction: 0.2 } };
  const exactly = {
    ...averaging,
    rounds: 1,
    metrics,
    training: { kind: 'record-step', samplingRate: 0.05, expectedRecords: 30, maximumRecords: 150 },
  };
  /** Six records trained on (twelve of eighteen gradients within the clip), and `count` held out, of which every fourth is answered. */
  const tell = (count: number): void => {
    federation.organisations.forEach((organisation, index) => {
      organisation.numbers = {
        losses: [1, 2, 3, 1, 2, 3].map((loss) => loss + index), // their mean is 3
        norms: [0.1, 0.2, 0.3, 0.4, 7, 8],
        heldOut: Array.from({ length: count }, (_, i) => ({ loss: 0.5 + index, exact: Number(i % 4 === 0) })), // 1.5
      };
    });
  };
  const roundsOf = (id: string): Promise<RoundView[]> => listAll<RoundView>(coordinator.url, token, routes.rounds(id));

  it('are summed with it, read from the sum, shown, and kept over a restart', async () => {
    tell(8);
    const { id } = await startRun(exactly);
    const run = await untilRun(coordinator.url, token, id);
    expect(run).toMatchObject({ status: 'completed', l2Bound: 1, heldOutFraction: 0.2, clippingQuantile: 0.5 });
    const [round] = await roundsOf(id);
    expect(round.meanLoss).toBeCloseTo(3, 3);
    expect(round.heldOutLoss).toBeCloseTo(1.5, 3);
    expect(round.heldOutAccuracy).toBeCloseTo(0.25, 3);
    // Of 24 that were expected to be trained on (30, less a fifth) 18 were: 12 within, 6 not.
    expect(round.fractionWithin).toBeCloseTo(0.5 + (12 - 6) / 2 / 24, 3);
    expect(round.suggestedL2Bound).toBeCloseTo(Math.exp(-0.4 * (0.625 - 0.5)), 3);

    const card = await readFile(join(folder, 'versions', run.version, 'README.md'), 'utf8');
    expect(card).toContain(`the version before\nthis one (\`${round.baseVersion}\`) had a mean loss of **1.500** nats`);
    expect(card).toContain('gave **25 %** of the answers');
    const first = await readFile(join(folder, 'versions', round.baseVersion, 'README.md'), 'utf8');
    expect(first).not.toContain('## Evaluation');

    federation.disconnect();
    await coordinator.close();
    await start();
    expect(await roundsOf(id)).toEqual([round]);
  });

  it('carry the noise of the round: sharp enough to read, and not what anyone measured', async () => {
    tell(60);
    const { id } = await startRun({ ...withNoise, metrics, rounds: 1, training: exactly.training });
    await untilRun(coordinator.url, token, id);
    const [{ heldOutLoss, heldOutAccuracy }] = await roundsOf(id);
    // Noise of 2.1 records on sums over 180: 0.1 nats with the bound of 8, a point of accuracy. Eight standard deviations.
    expect(Math.abs((heldOutLoss ?? Number.NaN) - 1.5)).toBeLessThan(0.85);
    expect(Math.abs((heldOutAccuracy ?? Number.NaN) - 0.25)).toBeLessThan(0.11);
    expect(heldOutLoss).not.toBeCloseTo(1.5, 4); // a chance of one in a thousand
  });

  it('of steps at home are those of all steps together, under the noise of each', async () => {
    tell(8);
    const training = { ...withOwnNoise.training, steps: 2, expectedRecords: 15, maximumRecords: 150 };
    const { id } = await startRun({
      ...withOwnNoise,
      rounds: 1,
      metrics,
      training,
      privacy: { ...withOwnNoise.privacy, noiseMultiplier: 0.01 },
    });
    await untilRun(coordinator.url, token, id);
    const [round] = await roundsOf(id);
    // Noise of 0.01 in each of 6 steps: 0.25 records of 36, 2 nats of 108; of 48 held out, 0.04.
    expect(round.meanLoss).toBeCloseTo(3, 0);
    expect(Math.abs((round.heldOutLoss ?? NaN) - 1.5)).toBeLessThan(0.08);
    expect(Math.abs((round.heldOutAccuracy ?? NaN) - 0.25)).toBeLessThan(0.01);
    // Of 2 steps times 3 times 12 that were expected to be trained on, 24 were within and 12 were not.
    expect(Math.abs((round.fractionWithin ?? NaN) - (0.5 + (24 - 12) / 2 / 72))).toBeLessThan(0.03);
  });

  it('of whole updates count each organisation once', async () => {
    federation.organisations.forEach((organisation, index) => {
      organisation.numbers = { losses: [2], norms: [index], heldOut: [{ loss: 1 + index, exact: 0.5 }] };
    });
    const { id } = await startRun({ ...averaging, rounds: 1, metrics });
    await untilRun(coordinator.url, token, id);
    const [round] = await roundsOf(id);
    expect(round.heldOutLoss).toBeCloseTo(2, 3);
    expect(round.heldOutAccuracy).toBeCloseTo(0.5, 3);
    expect(round.fractionWithin).toBeCloseTo(1 / 3, 3); // norms 0, 1 and 2 with a bound of 1
  });

  it('are none where the run does not ask, and refused where a description asks for nonsense', async () => {
    const { id } = await startRun({ ...averaging, rounds: 1 });
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ heldOutFraction: null, clippingQuantile: null });
    const none = { heldOutLoss: null, heldOutAccuracy: null, fractionWithin: null, suggestedL2Bound: null };
    expect(await roundsOf(id)).toMatchObject([none]);
    for (const wrong of [
      { evaluation: { fraction: 0.6 } },
      { evaluation: {} },
      { clipping: { quantile: 0 } },
      { clipping: { quantile: 0.5, learningRate: -1 } },
      { weight: 3 },
    ]) {
      const answer = await send(coordinator.url, 'POST', routes.runs, token, { ...averaging, metrics: wrong });
      expect(answer.status, JSON.stringify(wrong)).toBe(400);
    }
  });
});

describe('five organisations with a threshold of four', () => {
  beforeEach(() => setUp(5));
  afterEach(tearDown);

  it.each([
    ['sharing', ['bank', 'clinic', 'council', 'school']],
    ['training', ['bank', 'clinic', 'council', 'school']],
    ['checking', NAMES],
    ['unmasking', NAMES],
  ] as const)('finish exactly when one is silent from %s on', async (phase: RequestPhase, survivors) => {
    federation.organisations[3].ignores = (request) => request.phase === phase;
    const deadlinesMs = { ...averaging.deadlinesMs, [phase]: 1500 };
    const { id } = await startRun({ ...averaging, rounds: 1, deadlinesMs });
    const run = await untilRun(coordinator.url, token, id);
    expect(run).toMatchObject({ status: 'completed', abortedRounds: 0, threshold: 4 });
    const [round] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    expect(round.participants.find((one) => one.name === 'museum')?.status).toBe('dropped');
    const after = await valuesOf(run.version);
    const mean = plainMean(round.id, survivors, await manifestOf(run.version), after.length);
    after.forEach((value, i) => expect(value).toBe(Math.fround(mean[i])));
  });
});

describe('a coordinator that is killed', () => {
  beforeEach(() => setUp(3));
  afterEach(tearDown);

  it.each(['advertising', 'sharing', 'training', 'checking', 'unmasking'] as const)(
    'in %s finishes the round when it is back',
    async (phase) => {
      const [, , council] = federation.organisations;
      let isHolding = true;
      council.ignores = (request) => isHolding && request.phase === phase;
      const { id } = await startRun({ ...averaging, rounds: 1 });
      const answered = {
        advertising: 'advertised',
        sharing: 'shared',
        training: 'uploaded',
        checking: 'checked',
        unmasking: 'unmasked',
      }[phase];
      const during = await untilRound(
        coordinator.url,
        token,
        id,
        (round) => round.participants.filter(({ status }) => status === answered).length === 2,
      );
      federation.disconnect();
      await coordinator.close({ abruptly: true });

      isHolding = false;
      await start();
      await federation.connect(coordinator.url);
      const run = await untilRun(coordinator.url, token, id);
      expect(run).toMatchObject({ status: 'completed', completedRounds: 1, abortedRounds: 0 });
      const after = await valuesOf(run.version);
      const mean = plainMean(during.id, NAMES, await manifestOf(run.version), after.length);
      after.forEach((value, i) => expect(value).toBe(Math.fround(mean[i])));
    },
  );

  it('after the version was written but before that was stored publishes the same version again', async () => {
    let isWritten = (): void => undefined;
    const written = new Promise<void>((resolve) => (isWritten = resolve));
    const add = vi.spyOn(VersionsRepository.prototype, 'add').mockImplementation((record) => {
      if (record.roundId === null) return Promise.resolve();
      isWritten();
      return new Promise(() => undefined); // Never: the power is cut here.
    });
    const { id } = await startRun({ ...averaging, rounds: 1 });
    await written;
    const before = await readdir(join(folder, 'versions'));
    federation.disconnect();
    await coordinator.close({ abruptly: true });
    add.mockRestore();

    await start();
    await federation.connect(coordinator.url);
    const run = await untilRun(coordinator.url, token, id);
    expect(run).toMatchObject({ status: 'completed', completedRounds: 1, abortedRounds: 0 });
    expect(before).toContain(run.version);
    expect(await readdir(join(folder, 'versions'))).toEqual(before);
  });

  it('keeps the optimizer’s memory', async () => {
    const { id } = await startRun({ ...averaging, rounds: 2, server: { ...averaging.server, beta1: 0.5 } });
    await untilRound(coordinator.url, token, id, (round) => round.number === 2 && round.phase === 'training');
    federation.disconnect();
    await coordinator.close({ abruptly: true });
    await start();
    await federation.connect(coordinator.url);
    const run = await untilRun(coordinator.url, token, id);
    const [second, first] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
    const after = await valuesOf(run.version);
    const manifest = await manifestOf(run.version);
    const [mean1, mean2] = [first.id, second.id].map((roundId) => plainMean(roundId, NAMES, manifest, after.length));
    after.forEach((value, i) => expect(value).toBeCloseTo(mean1[i] + mean2[i] + 0.5 * mean1[i], 6));
  });

  it('does not go on with a round whose run has ended meanwhile', async () => {
    federation.organisations[2].ignores = (request) => request.phase === 'training';
    const { id } = await startRun({ ...averaging, rounds: 1 });
    await untilRound(coordinator.url, token, id, (round) => round.phase === 'training');
    federation.disconnect();
    await coordinator.close({ abruptly: true });
    const db = await openDatabase({ path: join(folder, 'coordinator.sqlite') });
    await db.updateTable('runs').set({ status: 'stopped', reason: 'Stopped in the test.' }).execute();
    await db.destroy();
    await start();
    const lost = await untilRound(coordinator.url, token, id, (round) => round.phase === 'aborted');
    expect(lost.cause).toBe('Stopped in the test.');
  });

  it('does not wait for a participant that has forgotten the round', async () => {
    const [, , council] = federation.organisations;
    council.ignores = (request) => request.phase === 'training';
    const { id } = await startRun({ ...averaging, rounds: 1 });
    await untilRound(coordinator.url, token, id, (round) => round.phase === 'training');
    council.disconnect();
    council.forget();
    council.ignores = () => false;
    await council.connect(coordinator.url);
    const lost = await untilRound(coordinator.url, token, id, (round) => round.phase === 'aborted');
    expect(lost.cause).toContain('council (declined: round/forgotten)');
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 1 });
  });
});

describe('a disk that fails once', () => {
  beforeEach(() => setUp(3));
  afterEach(async () => {
    vi.restoreAllMocks();
    await tearDown();
  });

  it('loses no answer: the next try is stored', async () => {
    const [, , council] = federation.organisations;
    council.ignores = ({ phase }) => phase === 'sharing';
    const { id } = await startRun({ ...averaging, rounds: 1 });
    await untilRound(
      coordinator.url,
      token,
      id,
      (round) => round.participants.filter(({ status }) => status === 'shared').length === 2,
    );
    vi.spyOn(RoundsRepository.prototype, 'addEvents').mockRejectedValueOnce(new Error('disk full'));
    council.ignores = () => false;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const before = council.replies.length;
      council.disconnect();
      await council.connect(coordinator.url);
      if (attempt === 0) {
        await vi.waitFor(() => expect(council.replies.length).toBeGreaterThan(before));
        expect(council.replies[before]).toMatchObject({ ok: false });
      }
    }
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 0 });
  });

  it('leaves no round in memory that is not stored', async () => {
    const add = vi.spyOn(RoundsRepository.prototype, 'add').mockRejectedValueOnce(new Error('disk full'));
    const { id } = await startRun({ ...averaging, rounds: 1 });
    await vi.waitFor(() => expect(add).toHaveBeenCalled());
    const [, , council] = federation.organisations;
    council.disconnect();
    await council.connect(coordinator.url);
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 0 });
  });

  it('and cannot even store the failure keeps the sum due until it can be stored', async () => {
    const [, , council] = federation.organisations;
    const { addEvents } = RoundsRepository.prototype;
    const refused: string[] = [];
    vi.spyOn(RoundsRepository.prototype, 'addEvents').mockImplementation(function (this: RoundsRepository, ...events) {
      const [, , [{ kind }]] = events;
      if ((kind !== 'sum.applied' && kind !== 'round.failed') || refused.includes(kind)) {
        return addEvents.apply(this, events);
      }
      refused.push(kind);
      return Promise.reject(new Error('disk full'));
    });
    const { id } = await startRun({ ...averaging, rounds: 1 });
    await vi.waitFor(() => expect(refused).toEqual(['sum.applied', 'round.failed']), { timeout: 5000 });
    // Any news of the round makes it look again; without any, a timer does.
    council.disconnect();
    await council.connect(coordinator.url);
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 0 });
  });

  it('while a round is scrubbed does not keep the run from going on', async () => {
    vi.spyOn(ContributionStore.prototype, 'scrub').mockRejectedValueOnce(new Error('disk failed'));
    const { id } = await startRun(averaging);
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', completedRounds: 2 });
  });
});

describe('answers that come while the disk is busy', () => {
  beforeEach(() => setUp(5));
  afterEach(async () => {
    vi.restoreAllMocks();
    await tearDown();
  });

  it('are stored together, and a bad one among them is refused alone', async () => {
    const { addEvents, transaction } = RoundsRepository.prototype;
    const counts: number[] = [];
    vi.spyOn(RoundsRepository.prototype, 'addEvents').mockImplementation(function (this: RoundsRepository, ...events) {
      counts.push(events[2].length);
      return addEvents.apply(this, events);
    });
    let release = (): void => undefined;
    const isReleased = new Promise<void>((resolve) => (release = resolve));
    vi.spyOn(RoundsRepository.prototype, 'transaction').mockImplementation(async function (
      this: RoundsRepository,
      change,
    ) {
      if (counts.length > 0) await isReleased; // The first is the start of the round.
      return transaction.call(this, change);
    });
    const [bad, ...others] = federation.organisations;
    bad.ignores = ({ phase }) => phase === 'advertising';
    const { id } = await startRun({ ...averaging, rounds: 1 });
    const round = await untilRound(coordinator.url, token, id, ({ phase }) => phase === 'advertising');
    const refusal = bad.reply(round.id, 'advertising', new Uint8Array([1, 2, 3]));
    await vi.waitFor(async () => {
      const metrics = await (await send(coordinator.url, 'GET', '/metrics')).text();
      expect(metrics).toContain('fedlora_backlog{kind="answers"} 5');
    });
    expect(others.flatMap(({ replies }) => replies)).toEqual([]);
    release();
    expect(await refusal).toMatchObject({ ok: false, error: { code: 'codec/malformed' } });
    await vi.waitFor(() => expect(others.map(({ replies }) => replies.length)).toEqual([1, 1, 1, 1]));
    expect(others.every(({ replies }) => replies[0].ok)).toBe(true);
    expect(counts.slice(1).reduce((sum, count) => sum + count, 0)).toBe(4);
    expect(counts.length).toBeLessThanOrEqual(3);
  });
});

describe('messages and uploads', () => {
  beforeEach(() => setUp(3));
  afterEach(tearDown);

  /** A round that has stopped in a phase because the last organisation keeps silent; it goes on when `release` is called. */
  async function holding(phase: RequestPhase): Promise<{ runId: string; round: RoundView }> {
    federation.organisations[2].ignores = (request) => request.phase === phase;
    const { id } = await startRun({ ...averaging, rounds: 1 });
    return { runId: id, round: await untilRound(coordinator.url, token, id, (one) => one.phase === phase) };
  }

  it('the same bytes again are accepted, other bytes for the same phase are refused', async () => {
    const { round } = await holding('advertising');
    const [bank] = federation.organisations;
    const reply = await bank.reply(round.id, 'advertising', new Uint8Array([1, 2, 3]));
    expect(reply).toMatchObject({ ok: false, error: { code: 'round/already-answered' } });
  });

  it('a message in another participant’s name is refused', async () => {
    const { round } = await holding('training');
    const [bank, , council] = federation.organisations;
    void bank;
    const reply = await council.reply(round.id, 'training', new Uint8Array([1, 2, 3]));
    expect(reply).toMatchObject({ ok: false, error: { code: 'codec/malformed' } });
    const wrongPhase = await council.reply(round.id, 'checking', new Uint8Array([1]));
    expect(wrongPhase).toMatchObject({ ok: false, error: { code: 'round/wrong-phase' } });
    const unknown = await council.reply('run-0-r1', 'checking', new Uint8Array([1]));
    expect(unknown).toMatchObject({ ok: false, error: { code: 'round/unknown' } });
  });

  it('a second answer is refused while the first waits, and refusals are recorded only so often', async () => {
    const { round } = await holding('training');
    const [, , council] = federation.organisations;
    const bad = new Uint8Array([1, 2, 3]);
    const record = vi
      .spyOn(AuditLog.prototype, 'record')
      .mockImplementationOnce(() => new Promise((resolve) => setTimeout(resolve, 200)));
    try {
      const replies = await Promise.all([
        council.reply(round.id, 'training', bad),
        council.reply(round.id, 'training', bad),
      ]);
      expect(replies).toMatchObject([
        { ok: false, error: { code: 'codec/malformed' } },
        { ok: false, error: { code: 'round/reply-waiting' } },
      ]);
      for (let i = 0; i < 25; i += 1) await council.reply(round.id, 'training', bad);
      expect(record).toHaveBeenCalledTimes(20);
    } finally {
      record.mockRestore();
    }
  });

  it('the ninth session of an organisation ends its oldest', async () => {
    const { round } = await holding('training');
    const [, , council] = federation.organisations;
    const sessions: string[] = [];
    for (let i = 0; i < 9; i += 1) sessions.push(await council.signIn(coordinator.url));
    const statusOf = async (session: string): Promise<number> =>
      (await send(coordinator.url, 'HEAD', routes.contribution(round.id), session)).status;
    expect(await statusOf(sessions[0])).toBe(401);
    expect(await statusOf(sessions[1])).toBe(200);
  });

  it('a stored contribution that was cut short fails the round instead of being summed', async () => {
    const { runId, round } = await holding('unmasking');
    const [, , council] = federation.organisations;
    await truncate(join(folder, 'blobs', 'contributions', round.id, '0'), 8);
    council.ignores = () => false;
    council.disconnect();
    await council.connect(coordinator.url);
    const lost = await untilRound(coordinator.url, token, runId, (one) => one.phase === 'aborted');
    expect(lost.cause).toContain('upload/wrong-length');
  });

  it('an upload goes on where it stopped, and refuses gaps, other lengths and strangers', async () => {
    const { round } = await holding('training');
    const [, , council] = federation.organisations;
    const length = Number((await council.head(round.id)).headers.get('upload-length'));
    const bytes = new Uint8Array(length).fill(7);
    expect((await council.patch(round.id, 0, bytes.subarray(0, 10), length)).headers.get('upload-offset')).toBe('10');
    const gap = await council.patch(round.id, 12, bytes.subarray(12), length);
    expect(gap.status).toBe(409);
    expect(gap.headers.get('upload-offset')).toBe('10');
    expect((await json<{ code: string }>(new Response(await gap.text()))).code).toBe('upload/wrong-offset');
    expect((await council.patch(round.id, 10, bytes.subarray(10), length + 4)).status).toBe(400);
    expect((await council.head(round.id)).headers.get('upload-offset')).toBe('10');
    expect((await send(coordinator.url, 'HEAD', routes.contribution(round.id))).status).toBe(401);
    expect((await send(coordinator.url, 'HEAD', routes.contribution(round.id), token)).status).toBe(403);
    expect((await council.patch(round.id, 10, bytes.subarray(10), length)).status).toBe(204);
    expect((await council.head(round.id)).headers.get('upload-offset')).toBe(String(length));
  });

  it('a contribution that is not what its receipt signs takes its sender out of the round', async () => {
    const { runId, round } = await holding('training');
    const [, , council] = federation.organisations;
    const length = Number((await council.head(round.id)).headers.get('upload-length'));
    await council.patch(round.id, 0, new Uint8Array(length), length);
    council.ignores = () => false;
    council.disconnect();
    await council.connect(coordinator.url);
    const lost = await untilRound(coordinator.url, token, runId, (one) => one.phase === 'aborted');
    expect(lost.cause).toContain('council (dropped: upload/wrong-hash)');
  });
});

describe('a revoked key', () => {
  beforeAll(() => setUp(4));
  afterAll(tearDown);

  it('ends its runs at the next round, is in no new one, and opens no session; its owner comes back with another', async () => {
    const [bank, clinic] = federation.organisations;
    const put = (text: string): Promise<Response> =>
      send(coordinator.url, 'PUT', routes.revocations, token, { revocations: text });
    const offers: (string | undefined)[] = [];
    clinic.ignores = ({ offer, phase }) => {
      if (offer !== undefined) offers.push(offer.revocations);
      return phase === 'checking';
    };
    const running = await startRun({ ...averaging, rounds: 50 });
    await untilRound(coordinator.url, token, running.id, (round) => round.phase === 'checking');

    const first = federation.revoke(undefined, bank.identity);
    expect((await put(first.text.replace('"epoch":1', '"epoch":2'))).status).toBe(400);
    expect(
      (await send(coordinator.url, 'PUT', routes.revocations, undefined, { revocations: first.text })).status,
    ).toBe(401);
    expect((await put(first.text)).status).toBe(204);
    const ended = await untilRun(coordinator.url, token, running.id);
    expect(ended).toMatchObject({ status: 'failed', reason: expect.stringContaining('bank') as string });
    await expect(bank.signIn(coordinator.url)).rejects.toThrow('session/unknown-identity');
    const [shown] = await listAll<OrganisationView>(coordinator.url, token, routes.organisations);
    expect(shown).toMatchObject({ name: 'bank', status: 'revoked', warnings: [{ code: 'health/revoked' }] });

    clinic.ignores = ({ offer }) => {
      if (offer !== undefined) offers.push(offer.revocations);
      return false;
    };
    const next = await startRun({ ...averaging, rounds: 1 });
    expect((await untilRun(coordinator.url, token, next.id)).status).toBe('completed');
    expect(offers[0]).toBeUndefined();
    expect(offers.at(-1)).toBe(first.text);

    // An older list, or one that takes a key back, is refused; also after a restart.
    const second = federation.revoke(first.list, 'ab'.repeat(32));
    expect((await put(second.text)).status).toBe(204);
    await coordinator.close();
    await start();
    expect(JSON.parse(await (await put(first.text)).text())).toMatchObject({ code: 'roster/revocations-outdated' });

    // The organisation returns under its name with a new key, and is a member again once that is certified.
    const invite = { name: 'bank' };
    const { token: invitation } = await operate<{ token: string }>(
      coordinator.url,
      token,
      'POST',
      routes.invitations,
      invite,
    );
    const again = new FakeOrganisation('bank', 'bank, second key');
    expect(await again.enrol(coordinator.url, invitation)).toMatchObject({ status: 'pending' });
    await operate(coordinator.url, token, 'POST', routes.organisationCertificate('bank'), {
      certificate: federation.certificateOf(again),
    });
    expect(await again.signIn(coordinator.url)).toMatch(/^[\w-]{40,}$/);
    const { organisations } = await operate<Overview>(coordinator.url, token, 'GET', routes.overview);
    expect(organisations.map(({ name, status }) => [name, status])).toContainEqual(['bank', 'active']);
    const route = routes.organisation('bank');
    const { keys } = await operate<OrganisationDetails>(coordinator.url, token, 'GET', route);
    expect(keys).toMatchObject([
      { identity: again.identity, replacedAt: null, revoked: false },
      { identity: bank.identity, replacedAt: keys[0].enrolledAt, revoked: true },
    ]);
  });
});
