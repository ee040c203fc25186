import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  canonicalJson,
  certifyMember,
  decodeAdvertiseKeys,
  decodeMaskedInput,
  dequantize,
  emptyMaskedSum,
  encodeKeyList,
  epsilonFor,
  fromHex,
  manifestMessage,
  planDeliveries,
  planKeyList,
  planSurvivorProof,
  planSurvivors,
  planUnmasking,
  readMetrics,
  readRoundMetrics,
  rosterHash,
  sumMaskedInto,
  toHex,
  trainedLength,
  unitBound,
  unmask,
  wordsHash,
  type Manifest,
  type MaskedUpdate,
  type Plan,
  type Roster,
} from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import { adaptedModules, FedloraError, type RequestPhase, type RoundOffer } from '@fedlora/shared';
import { aManifest, someLocalRecordSteps } from '../../../test/support/a-manifest.js';
import type { Engine } from '../engine/engine.js';
import { Account } from '../storage/account.js';
import { Decisions } from '../storage/decisions.js';
import { createIdentity, type Identity } from '../storage/identity.js';
import { contribute, type Contribution, type Parts, type Stage } from './contribute.js';
import { Conversation } from './conversation.js';
import type { PolicyTerms } from './policy.js';
import type { Measured } from './measure.js';
import { OfferVerifier, type VerifiedRound } from './verify-offer.js';
import { Workbench, type AdapterSource } from './workbench.js';

/** Arrays of numbers that went into or came out of a stage of privacy; and the stage that shall fail. */
const stages = await vi.hoisted(async () => {
  const { Measured } = await import('./measure.js');
  const seen = new Set<ArrayLike<number>>();
  const look = (value: unknown): void => {
    if (ArrayBuffer.isView(value) && !(value instanceof DataView)) seen.add(value as Float64Array);
    else if (Array.isArray(value) && value.every((one) => typeof one === 'number')) seen.add(value);
    else if (value instanceof Measured) seen.add(numbersOf(value));
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(look);
  };
  /** Looks at what the measurement holds at the time, not at a copy. */
  const numbersOf = (measured: Measured): ArrayLike<number> => ({
    length: 2,
    get 0() {
      return measured.loss;
    },
    get 1() {
      return measured.exact;
    },
  });
  return { seen, look, failing: '' };
});

vi.mock('@fedlora/protocol', async (importOriginal) => {
  const original = await importOriginal<typeof import('@fedlora/protocol')>();
  /** The stage, with its first argument and its result looked at. */
  const watched = <Of extends unknown[], Result>(name: string, stage: (...of: Of) => Result) => ({
    [name]: (...of: Of): Result => {
      stages.look(of[0]);
      if (name === 'withMetrics') stages.look(of[1]); // the numbers; elsewhere public terms follow
      if (stages.failing === name) throw new Error(`${name} fails`);
      const result = stage(...of);
      stages.look(result);
      return result;
    },
  });
  return {
    ...original,
    ...watched('withMetrics', original.withMetrics),
    ...watched('difference', original.difference),
    ...watched('clipToL2Norm', original.clipToL2Norm),
    ...watched('clippedRecordSum', original.clippedRecordSum),
    ...watched('quantize', original.quantize),
    ...watched('quantizeReleased', original.quantizeReleased),
    ...watched('addWholeNoise', original.addWholeNoise),
    ...watched('addDiscreteGaussian', original.addDiscreteGaussian),
    ...watched('withoutNoise', original.withoutNoise),
  };
});

const crypto = nodeProvider;
const config = {
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 2,
};
const modules = adaptedModules(config, ['q_proj']);
const seeds = { coordinator: fromHex('11'.repeat(32)), federation: fromHex('22'.repeat(32)) };
const keys = {
  coordinatorKey: toHex(crypto.ed25519.publicKey(seeds.coordinator)),
  federationKey: toHex(crypto.ed25519.publicKey(seeds.federation)),
};

const policy: PolicyTerms = {
  epsilonCap: 100,
  epsilonCapPerPeriod: undefined,
  periodDays: 30,
  maximumDelta: 1e-5,
  requireDifferentialPrivacy: false,
  allowedUnits: ['record', 'record-local', 'client', 'none'],
  minimumContributors: 2,
  leastThreshold: 2,
  leastAssumedColluders: 0,
  maximumSamplingRate: 1,
  maximumL2Bound: undefined,
  evaluation: 'with-noise',
  allowedBases: ['*'],
  approval: 'automatic',
  hours: { windows: [], timeZone: undefined },
  unrelatedDatasets: [],
  canaries: 'never',
  gpuHoursPerPeriod: undefined,
  declareBudget: false,
};

/** An engine whose gradient of every example is the same vector of length `size`. */
function fakeEngine(size: number): Engine & { calls: number } {
  const r = 2;
  const length = trainedLength(modules, r, 'B');
  let adapter = {
    modules: modules.map((module) => ({
      A: new Float32Array(r * module.inFeatures),
      B: new Float32Array(r * module.outFeatures),
    })),
  };
  return {
    calls: 0,
    name: 'onnx',
    device: 'cpu',
    lora: { r, lora_alpha: 4, use_rslora: false, target_modules: ['q_proj'] },
    modules,
    vocabularySize: 10,
    maximumLength: 64,
    setAdapter: (values) => {
      adapter = { modules: values.modules.map(({ A, B }) => ({ A: A.slice(), B: B.slice() })) };
    },
    adapter: () => adapter,
    async gradients(batch) {
      this.calls += 1;
      const value = (size / Math.sqrt(length)) * batch.examples;
      return {
        clippedSum: new Float32Array(length).fill(value),
        losses: new Float32Array(batch.examples).fill(2),
        norms: new Float32Array(batch.examples).fill(size),
      };
    },
    evaluate: async ({ examples }) => ({
      losses: new Float32Array(examples).fill(3),
      exact: new Uint8Array(examples).fill(1),
    }),
    logits: async () => new Float32Array(),
    close: async () => undefined,
  };
}

const openFiles: { close(): Promise<void> }[] = [];

interface Seat {
  readonly name: string;
  readonly identity: Identity;
  readonly folder: string;
  readonly parts: Parts & { readonly ledger: Account };
  readonly engine: ReturnType<typeof fakeEngine>;
  readonly verifier: OfferVerifier;
  readonly stages: Stage[];
  readonly facts: readonly object[];
  readonly uploads: MaskedUpdate[];
  readonly dataReads: number[];
}

async function anAccount(folder: string, dataset: string, identity: Identity): Promise<Account> {
  await mkdir(folder, { recursive: true });
  const paths = {
    ledgers: folder,
    ledger: (name: string) => join(folder, `${name}.jsonl`),
    records: (name: string) => join(folder, `${name}.records`),
  };
  const recordKey = new Uint8Array(32);
  return Account.open({ paths, dataset, identity, federationKey: undefined, recordKey, unrelated: [] });
}

async function aSeat(
  name: string,
  rows: number,
  changes: Partial<PolicyTerms> = {},
  sameIdentity?: Identity,
): Promise<Seat> {
  const folder = await mkdtemp(join(tmpdir(), `fedlora-${name}-`));
  const identity = sameIdentity ?? (await createIdentity(join(folder, 'identity.key')));
  const engine = fakeEngine(0.5);
  const stages: Stage[] = [];
  const facts: object[] = [];
  const uploads: MaskedUpdate[] = [];
  const dataReads: number[] = [];
  const decisions = await Decisions.open(join(folder, 'decisions.jsonl'));
  const ledger = await anAccount(join(folder, 'ledger'), 'default', identity);
  openFiles.push(decisions, ledger);
  const random = seededRandom(name);
  const examples = Array.from({ length: rows }, (_, row) => ({
    ids: Int32Array.of(1, 2, 3),
    answerStart: 1,
    row,
    fingerprint: BigInt(row),
  }));
  return {
    name,
    identity,
    folder,
    engine,
    stages,
    facts,
    uploads,
    dataReads,
    verifier: new OfferVerifier({
      pins: keys,
      identity: identity.publicKey,
      base: { digest: 'b'.repeat(64), config },
      hasJoined: (sid) => decisions.hasJoined(sid),
      revocations: () => undefined,
      wasChargedOtherwise: () => false,
    }),
    parts: {
      policy: { ...policy, ...changes },
      isApproved: async () => false,
      ledger,
      decisions,
      adapters: { load: async () => engine.adapter() } as unknown as AdapterSource,
      workbench: {
        examples: async ({ metrics }: Manifest) => {
          dataReads.push(1);
          return examples.map((example) => ({
            ...example,
            isHeldOut: metrics.evaluation !== undefined && example.row % 5 === 0,
          }));
        },
        engine: async () => engine,
        working: (work: () => Promise<unknown>) => work(),
      } as unknown as Workbench,
      secagg: { crypto, random, sign: (message) => identity.sign(message) },
      random,
      tokensPerBatch: 64,
      upload: async (_roundId, masked) => {
        uploads.push(masked);
        return masked.words.byteLength;
      },
      observe: (stage, said = {}) => {
        stages.push(stage);
        facts.push(said);
      },
      now: () => 1000,
    },
  };
}

function aRound(seats: readonly Seat[], changes: Partial<Manifest> = {}): RoundOffer {
  const roster: Roster = {
    version: 1,
    members: seats.map(({ name, identity }) => ({
      name,
      identity: identity.publicKey,
      certificate: certifyMember(crypto, seeds.federation, { name, identity: identity.publicKey }),
    })),
  };
  const manifest = aManifest({
    rosterHash: rosterHash(roster),
    adapter: { ...aManifest().adapter, modules },
    training: { kind: 'record-step', samplingRate: 1, expectedRecords: 30, maximumRecords: 40 },
    ...changes,
  });
  const print = (value: unknown): string => Buffer.from(canonicalJson(value)).toString('utf8');
  return {
    runId: manifest.runId,
    roundId: 'run-1-r1',
    number: 1,
    completedRounds: 0,
    manifest: print(manifest),
    manifestSignature: toHex(crypto.ed25519.sign(seeds.coordinator, manifestMessage(manifest))),
    roster: print(roster),
    baseVersion: 'a'.repeat(40),
    previousSid: '0'.repeat(64),
  };
}

/** One participant in a round, as the daemon would hold it. */
class Player {
  readonly answers = new Map<RequestPhase, Uint8Array>();
  readonly talk: Conversation;
  readonly round: VerifiedRound;
  readonly result: Promise<Contribution>;
  private wake: (() => void) | undefined;

  constructor(
    readonly seat: Seat,
    readonly offer: RoundOffer,
  ) {
    this.round = seat.verifier.verify(offer);
    this.talk = new Conversation(offer.roundId, {
      send: (phase, message) => {
        this.answers.set(phase, message);
        this.wake?.();
      },
    });
    this.talk.receive({ roundId: offer.roundId, phase: 'advertising', deadlineAt: 1, sentAt: 0, offer });
    this.result = contribute(this.round, this.talk, seat.parts);
    this.result.catch(() => this.wake?.());
  }

  ask(phase: RequestPhase, message: Uint8Array): void {
    this.talk.receive({ roundId: this.offer.roundId, phase, deadlineAt: 1, sentAt: 0, messages: [message] });
  }

  async answer(phase: RequestPhase): Promise<Uint8Array> {
    while (!this.answers.has(phase)) {
      await Promise.race([new Promise<void>((resolve) => (this.wake = resolve)), this.result.then(() => undefined)]);
    }
    return this.answers.get(phase)!;
  }
}

const ready = <T>(plan: Plan<T>): T => {
  if (plan.kind !== 'ready') throw new Error(`Not ready: ${JSON.stringify(plan.refused)}`);
  return plan.outgoing;
};

const allOf = (players: readonly Player[], phase: RequestPhase): Promise<Uint8Array[]> =>
  Promise.all(players.map((player) => player.answer(phase)));

/** Plays the coordinator up to the request to train. */
async function upToTraining(players: readonly Player[]) {
  const { secagg: terms } = players[0].round;
  const all = (phase: RequestPhase): Promise<Uint8Array[]> => allOf(players, phase);
  const keyList = ready(planKeyList(crypto, terms, await all('advertising')));
  players.forEach((player) => player.ask('sharing', keyList));
  const shareKeys = await all('sharing');
  const deliveries = ready(planDeliveries(crypto, terms, keyList, shareKeys));
  players.forEach((player) => player.ask('training', deliveries.messageFor(player.round.me)));
  return { terms, keyList, shareKeys };
}

/** Plays the coordinator up to the unmasking request. */
async function upToUnmasking(players: readonly Player[]) {
  const all = (phase: RequestPhase): Promise<Uint8Array[]> => allOf(players, phase);
  const { terms, keyList, shareKeys } = await upToTraining(players);
  const receipts = await all('training');
  const sharers = players.map((player) => player.round.me);
  const survivors = ready(planSurvivors(crypto, terms, sharers, receipts));
  players.forEach((player) => player.ask('checking', survivors));
  const view = { keyList, sharers, survivors: sharers };
  const proof = ready(planSurvivorProof(crypto, terms, view, await all('checking')));
  return { terms, view, shareKeys, receipts, proof };
}

async function wholeRound(players: readonly Player[]): Promise<Float64Array> {
  const { terms, view, shareKeys, receipts, proof } = await upToUnmasking(players);
  players.forEach((player) => player.ask('unmasking', proof));
  const answers = await Promise.all(players.map((player) => player.answer('unmasking')));
  const recovered = ready(planUnmasking(crypto, terms, view, shareKeys, answers));
  const sum = emptyMaskedSum(terms.length);
  players.forEach(({ seat }, index) => {
    expect(decodeMaskedInput(receipts[index]).wordsHash).toEqual(wordsHash(crypto, seat.uploads[0]));
    sumMaskedInto(sum, seat.uploads[0].words);
  });
  players.forEach((player) => player.talk.end({ kind: 'done', version: 'v2' }));
  return dequantize(unmask(crypto, sum, recovered.masks), players[0].round.manifest.encoding.stepsPerUnit);
}

const withoutNoise = {
  unit: 'none',
  l2Bound: 1,
  noiseMultiplier: 0,
  delta: 1e-5,
  assumedColluders: 1,
  minimumContributors: 3,
} as const;

describe('contribute', () => {
  let seats: Seat[];
  beforeEach(async () => {
    seats = await Promise.all([aSeat('bank', 10), aSeat('clinic', 12), aSeat('council', 8)]);
  });
  afterEach(async () => {
    await Promise.allSettled(openFiles.splice(0).map((file) => file.close()));
  });

  it('makes three organisations’ gradients into one sum, which is exact without noise', async () => {
    const offer = aRound(seats, { privacy: withoutNoise });
    const players = seats.map((seat) => new Player(seat, offer));
    const sum = await wholeRound(players);
    const perRecord = 0.5 / Math.sqrt(sum.length - 2);
    expect(sum[0]).toBeCloseTo(30 * perRecord, 3);
    expect(sum[sum.length - 1] / 0.1).toBeCloseTo(30, 2); // The count of records.
    expect(((sum[sum.length - 2] / 0.1) * 8) / 30).toBeCloseTo(2, 2); // The mean loss.
    expect(await Promise.all(players.map((player) => player.result))).toEqual(
      Array(3).fill({ kind: 'counted', version: 'v2' }),
    );
    expect(seats[0].stages).toEqual(['joined', 'shared', 'training', 'recorded', 'uploaded', 'checked', 'unmasked']);
  });

  it('adds noise of the width that the accountant counts on, and charges each ledger once', async () => {
    const offer = aRound(seats, {
      training: { kind: 'record-step', samplingRate: 0.5, expectedRecords: 15, maximumRecords: 40 },
    });
    const players = seats.map((seat) => new Player(seat, offer));
    const sum = await wholeRound(players);
    const clean = seats.reduce((total, seat) => total + seat.engine.calls, 0);
    expect(clean).toBeGreaterThan(0);
    const { round } = players[0];
    const stddev = (round.shareStddev * Math.sqrt(3)) / round.manifest.encoding.stepsPerUnit;
    expect(stddev).toBeGreaterThan(0.8 * unitBound(round.manifest)); // sigma/sqrt(m - c) each, three of them.
    expect(Math.max(...sum.map(Math.abs))).toBeLessThan(0.5 * 30 + 8 * stddev);
    for (const seat of seats) {
      expect(seat.parts.ledger.entries).toMatchObject([
        { roundId: 'run-1-r1', unit: 'record', noiseMultiplier: 0.8, samplingRate: 0.5 },
      ]);
    }
  });

  const numbers = {
    weight: 0.1,
    lossBound: 8,
    clipping: { quantile: 0.5, learningRate: 1 },
    evaluation: { fraction: 0.2 },
  };

  it('measures rows held out from training and the norms of gradients, and tells the sums', async () => {
    for (const seat of seats) (seat.parts.policy as { evaluation: string }).evaluation = 'always';
    const players = seats.map((seat) => new Player(seat, aRound(seats, { privacy: withoutNoise, metrics: numbers })));
    const sum = await wholeRound(players);
    // Of 10, 12 and 8 rows every fifth is held out: 2, 3 and 2. All norms are 0.5, well within the bound of 1.
    const estimate = readMetrics(sum, numbers, { kind: 'record', l2Bound: 1 }, 23);
    expect(estimate.count).toBeCloseTo(23, 2);
    expect(estimate.meanLoss).toBeCloseTo(2, 2);
    expect(estimate.fractionWithin).toBeCloseTo(1, 2);
    expect(estimate.heldOut?.count).toBeCloseTo(7, 2);
    expect(estimate.heldOut?.meanLoss).toBeCloseTo(3, 2);
    expect(estimate.heldOut?.accuracy).toBeCloseTo(1, 2);
    expect(sum[0]).toBeCloseTo((23 * 0.5) / Math.sqrt(sum.length - 6), 3);
  });

  it('declines to measure where the owner does not allow it, before a row is read', async () => {
    const careful = await aSeat('museum', 10, { evaluation: 'never' });
    const player = new Player(careful, aRound([careful, ...seats.slice(1)], { metrics: numbers }));
    expect(await player.result).toEqual({ kind: 'declined', reason: 'policy/evaluation-not-allowed' });
    expect(careful.dataReads).toEqual([]);
  });

  it('puts no free number on the wire: losses, norms and answers change the metrics inside the masked words and nothing else', async () => {
    /** All that leaves in a round in which the engine finds these numbers; keys and randomness are the same each time. */
    const sent = async (loss: number, norm: number, exact: number) => {
      const same = await Promise.all(
        seats.map(({ name, identity }, index) => aSeat(name, [10, 12, 8][index], {}, identity)),
      );
      for (const { engine } of same) {
        const gradients = engine.gradients.bind(engine);
        engine.gradients = async (batch, options) => ({
          ...(await gradients(batch, options)),
          losses: new Float32Array(batch.examples).fill(loss),
          norms: new Float32Array(batch.examples).fill(norm),
        });
        engine.evaluate = async ({ examples }) => ({
          losses: new Float32Array(examples).fill(loss),
          exact: new Uint8Array(examples).fill(exact),
        });
      }
      const players = same.map((seat) => new Player(seat, aRound(same, { metrics: numbers })));
      await wholeRound(players);
      return same.map((seat, index) => ({
        facts: seat.facts,
        words: seat.uploads[0].words,
        beforeTraining: [players[index].answers.get('advertising'), players[index].answers.get('sharing')],
        lengths: [...players[index].answers].map(([phase, { length }]) => [phase, length]),
        unmasking: players[index].answers.get('unmasking'),
      }));
    };
    const one = await sent(2, 0.3, 1);
    const other = await sent(5, 1.7, 0);
    one.forEach((first, index) => {
      const { words, ...second } = other[index];
      expect({ ...first, words: undefined }).toEqual({ ...second, words: undefined });
      const changed = [...words.keys()].filter((i) => words[i] !== first.words[i]);
      const metricsFrom = words.length - 6;
      // Losses, norms, held-out losses, exact answers. The two counts are the same.
      expect(changed.map((i) => i - metricsFrom)).toEqual([0, 2, 3, 4]);
    });
  });

  it('trains local steps as one clipped update for unit "client"', async () => {
    const offer = aRound(seats, {
      training: { kind: 'local-steps', steps: 3, batchSize: 4, learningRate: 0.01, maximumGradientNorm: 1 },
      privacy: withoutNoise,
    });
    const sum = await wholeRound(seats.map((seat) => new Player(seat, offer)));
    // Three Adam steps of 0.01 against a constant gradient, clipped to norm 1 where longer; three organisations.
    expect(sum[0]).toBeCloseTo(-3 * 0.03, 3);
    expect(sum[sum.length - 1] / 0.1).toBeCloseTo(3, 2);
  });

  it('sends steps at home for unit "record-local" without another noise, and charges each of them, in a retry again', async () => {
    const training = { ...someLocalRecordSteps, samplingRate: 1, expectedRecords: 20 };
    // So little noise that the sum shows what it is of, at a price that only a test pays.
    const privacy = { ...aManifest().privacy, unit: 'record-local', noiseMultiplier: 1e-3 } as const;
    const rich = await Promise.all(
      ['bank', 'clinic', 'council'].map((name) => aSeat(name, 10, { epsilonCap: Infinity })),
    );
    const attempt = async (number: number): Promise<void> => {
      const offer = aRound(rich, { training, privacy });
      const players = rich.map((seat) => new Player(seat, { ...offer, number, roundId: `run-1-r${number}` }));
      const sum = await wholeRound(players);
      // Three steps of 0.1 along 10 gradients of 0.5, over 20 expected records, in each of three organisations.
      const each = (-3 * 0.1 * 10 * 0.5) / 20 / Math.sqrt(trainedLength(modules, 2, 'B'));
      for (const value of sum.subarray(0, -2)) expect(value).toBeCloseTo(3 * each, 3);
      expect(readRoundMetrics(players[0].round.manifest, sum, 3).meanLoss).toBeCloseTo(2, 1);
    };
    await attempt(1);
    rich.forEach(({ uploads }) => uploads.splice(0));
    await attempt(2);
    for (const { parts } of rich) {
      expect(parts.ledger.entries).toMatchObject(
        [1, 2].map((number) => ({ roundId: `run-1-r${number}`, unit: 'record-local', samplingRate: 1, steps: 3 })),
      );
      const { epsilon } = epsilonFor([{ noiseMultiplier: 1e-3, samplingRate: 1, steps: 6 }], 1e-5);
      expect(parts.ledger.spending.epsilon('record', 1e-5)).toBe(epsilon);
    }
  });

  it.each([
    { kind: 'record-step', samplingRate: 1, expectedRecords: 30, maximumRecords: 40 },
    { kind: 'local-steps', steps: 3, batchSize: 4, learningRate: 0.01, maximumGradientNorm: 1 },
  ] as const)(
    'attack: an adapter that makes one organisation overflow in $kind: it is charged and answers like the others',
    async (training) => {
      seats[0].engine.gradients = async (batch) => ({
        clippedSum: new Float32Array(trainedLength(modules, 2, 'B')).fill(NaN),
        losses: new Float32Array(batch.examples).fill(NaN),
        norms: new Float32Array(batch.examples).fill(NaN),
      });
      const players = seats.map((seat) => new Player(seat, aRound(seats, { training, privacy: withoutNoise })));
      const sum = await wholeRound(players);
      expect(sum.every(Number.isFinite)).toBe(true);
      expect(await Promise.all(players.map((player) => player.result))).toEqual(
        Array(3).fill({ kind: 'counted', version: 'v2' }),
      );
      expect(seats[0].parts.ledger.entries).toHaveLength(1);
    },
  );

  it('attack: training that fails after rows were used is charged all the same', async () => {
    let charges = 0;
    seats[0].engine.gradients = async () => {
      charges = seats[0].parts.ledger.entries.length;
      throw new Error('out of memory');
    };
    const players = seats.map((seat) => new Player(seat, aRound(seats)));
    const { secagg: terms } = players[0].round;
    const keyList = ready(
      planKeyList(crypto, terms, await Promise.all(players.map((player) => player.answer('advertising')))),
    );
    players.forEach((player) => player.ask('sharing', keyList));
    const deliveries = ready(
      planDeliveries(crypto, terms, keyList, await Promise.all(players.map((player) => player.answer('sharing')))),
    );
    players[0].ask('training', deliveries.messageFor(0));
    await expect(players[0].result).rejects.toThrow('out of memory');
    expect(charges).toBe(1);
    expect(seats[0].parts.ledger.entries).toHaveLength(1);
    expect(seats[0].uploads).toEqual([]);
    players.slice(1).forEach((player) => player.talk.end({ kind: 'aborted', cause: 'test over' }));
    await Promise.allSettled(players.map((player) => player.result));
  });

  describe.each([
    ['record steps', { kind: 'record-step', samplingRate: 1, expectedRecords: 30, maximumRecords: 40 }, 'record'],
    ['local steps', { kind: 'local-steps', steps: 2, batchSize: 4, learningRate: 1, maximumGradientNorm: 1 }, 'client'],
    ['local record steps', { ...someLocalRecordSteps, steps: 2, samplingRate: 1 }, 'record-local'],
  ] as const)('overwrites what was computed from rows: %s', (_, training, unit) => {
    /** Organisation 0 up to its training, alone: the others shared their keys. */
    async function atTraining(): Promise<readonly Player[]> {
      const metrics = { ...aManifest().metrics, evaluation: { fraction: 0.2 } };
      const offer = aRound(seats, { training, metrics, privacy: { ...aManifest().privacy, unit } });
      const players = seats.map((seat) => new Player(seat, offer));
      const { secagg: terms } = players[0].round;
      const all = (phase: RequestPhase): Promise<Uint8Array[]> =>
        Promise.all(players.map((player) => player.answer(phase)));
      const keyList = ready(planKeyList(crypto, terms, await all('advertising')));
      players.forEach((player) => player.ask('sharing', keyList));
      const deliveries = ready(planDeliveries(crypto, terms, keyList, await all('sharing')));
      stages.seen.clear();
      players[0].ask('training', deliveries.messageFor(0));
      return players;
    }
    const left = (): number[] =>
      [...stages.seen].map((values) => Array.from(values).filter((value) => value !== 0).length);
    async function end(players: readonly Player[]): Promise<void> {
      players.forEach((player) => player.talk.end({ kind: 'aborted', cause: 'test over' }));
      await Promise.allSettled(players.map((player) => player.result));
    }
    afterEach(() => {
      stages.failing = '';
    });

    it('every stage before the masked words is zero by the time they are sent', async () => {
      let whenSent: number[] = [];
      const sent = new Promise<void>((resolve) => {
        const upload: Parts['upload'] = async (_roundId, masked) => {
          whenSent = left();
          resolve();
          return masked.words.byteLength;
        };
        seats[0] = { ...seats[0], parts: { ...seats[0].parts, upload } };
      });
      const players = await atTraining();
      await sent;
      expect(whenSent.length).toBeGreaterThanOrEqual(5); // raw, with metrics, clipped, rounded, noised
      expect(whenSent.every((count) => count === 0)).toBe(true);
      await end(players);
    });

    it.each([
      'withMetrics',
      unit === 'client' ? 'clipToL2Norm' : 'clippedRecordSum',
      'quantize',
      ...(unit === 'record-local' ? ['addWholeNoise', 'quantizeReleased'] : ['addDiscreteGaussian']),
    ])('also when %s fails', async (stage) => {
      stages.failing = stage;
      const players = await atTraining();
      await expect(players[0].result).rejects.toThrow(`${stage} fails`);
      expect(stages.seen.size).toBeGreaterThan(0);
      expect(left().every((count) => count === 0)).toBe(true);
      expect(seats[0].uploads).toEqual([]);
      await end(players);
    });

    it('also when masking fails', async () => {
      const { parts, ...seat } = seats[0];
      const broken = { ...parts.secagg.crypto, addMask: () => expect.fail('no mask') };
      seats[0] = { ...seat, parts: { ...parts, secagg: { ...parts.secagg, crypto: broken } } };
      const players = await atTraining();
      await expect(players[0].result).rejects.toThrow('no mask');
      expect(stages.seen.size).toBeGreaterThanOrEqual(5);
      expect(left().every((count) => count === 0)).toBe(true);
      await end(players);
    });
  });

  it('overwrites the gradients and losses that the engine gave, whether the round goes on or not', async () => {
    for (const isLeft of [false, true]) {
      const given: Float32Array[] = [];
      const { engine } = seats[0];
      const gradients = engine.gradients.bind(engine);
      const players = seats.map((seat) => new Player(seat, aRound(seats, { runId: `run-${String(isLeft)}` })));
      engine.gradients = async (...of) => {
        const result = await gradients(...of);
        given.push(result.clippedSum, result.losses);
        if (isLeft) players[0].talk.end({ kind: 'aborted', cause: 'left' });
        return result;
      };
      const { secagg: terms } = players[0].round;
      const all = (phase: RequestPhase): Promise<Uint8Array[]> =>
        Promise.all(players.map((player) => player.answer(phase)));
      const keyList = ready(planKeyList(crypto, terms, await all('advertising')));
      players.forEach((player) => player.ask('sharing', keyList));
      const deliveries = ready(planDeliveries(crypto, terms, keyList, await all('sharing')));
      players[0].ask('training', deliveries.messageFor(0));
      await (isLeft
        ? expect(players[0].result).rejects.toMatchObject({ code: 'round/aborted' })
        : players[0].answer('training'));
      expect(given.length).toBeGreaterThan(0);
      expect(given.flatMap((values) => [...values]).filter((value) => value !== 0)).toEqual([]);
      players.forEach((player) => player.talk.end({ kind: 'aborted', cause: 'test over' }));
      await Promise.allSettled(players.map((player) => player.result));
      engine.gradients = gradients;
    }
  });

  it('refuses a round over the epsilon cap before a row is read, a key is made or anything is charged', async () => {
    const careful = await aSeat('museum', 10, { epsilonCap: 0.5 });
    const player = new Player(careful, aRound([careful, ...seats.slice(1)]));
    expect(await player.result).toEqual({ kind: 'declined', reason: 'policy/epsilon-cap' });
    expect(careful.dataReads).toEqual([]);
    expect(player.answers.size).toBe(0);
    expect(careful.parts.ledger.entries).toEqual([]);
    expect(careful.parts.decisions.hasJoined(player.round.sid)).toBe(false);
  });

  it('counts what was spent before: the round that passes the cap is the first to be refused', async () => {
    const careful = await aSeat('museum', 10, { epsilonCap: 20 });
    const offer = aRound([careful, ...seats.slice(1)]);
    const round = careful.verifier.verify(offer);
    let charged = 0;
    while (careful.parts.ledger.spending.epsilon('record', 1e-5, round.charge) <= 20) {
      await careful.parts.ledger.record({ ...round.charge, roundId: `before-${charged}` }, 1);
      charged += 1;
    }
    expect(charged).toBeGreaterThan(1);
    expect(await new Player(careful, offer).result).toEqual({ kind: 'declined', reason: 'policy/epsilon-cap' });
  });

  it('asks whether this very manifest was approved, where each needs to be, and reads no row before', async () => {
    const careful = await aSeat('museum', 10, { approval: 'each-manifest' });
    const offer = aRound([careful, ...seats.slice(1)]);
    const asked: string[] = [];
    Object.assign(careful.parts, { isApproved: async (hash: string) => asked.push(hash) > 1 });
    const player = new Player(careful, offer);
    expect(await player.result).toEqual({ kind: 'declined', reason: 'policy/awaiting-approval' });
    expect(careful.dataReads).toEqual([]);
    const again = new Player(careful, offer);
    await again.answer('advertising');
    expect(asked).toEqual(Array(2).fill(player.round.charge.manifestHash));
    again.talk.end({ kind: 'aborted', cause: 'test over' });
    await Promise.allSettled([again.result]);
  });

  it('declines when its rows could pass the largest number of records, whatever is sampled', async () => {
    const large = await aSeat('museum', 41);
    const player = new Player(large, aRound([large, ...seats.slice(1)]));
    await expect(player.result).rejects.toMatchObject({ code: 'offer/dataset-too-large' });
    expect(player.answers.size).toBe(0);
  });

  it('charges nothing and sends nothing when the round is aborted before training', async () => {
    const offer = aRound(seats);
    const player = new Player(seats[0], offer);
    await player.answer('advertising');
    player.talk.end({ kind: 'aborted', cause: 'too few' });
    await expect(player.result).rejects.toMatchObject({ code: 'round/aborted' });
    expect(seats[0].parts.ledger.entries).toEqual([]);
    expect(seats[0].uploads).toEqual([]);
  });

  it('joins no session twice, also after a restart', async () => {
    const offer = aRound(seats, { privacy: withoutNoise });
    await wholeRound(seats.map((seat) => new Player(seat, offer)));
    const again = await Decisions.open(join(seats[0].folder, 'decisions.jsonl'));
    openFiles.push(again);
    const { verifier, identity } = seats[0];
    expect(() => verifier.verify(offer)).toThrowError(expect.objectContaining({ code: 'offer/session-reused' }));
    const restarted = new OfferVerifier({
      pins: keys,
      identity: identity.publicKey,
      base: { digest: 'b'.repeat(64), config },
      hasJoined: (sid) => again.hasJoined(sid),
      revocations: () => undefined,
      wasChargedOtherwise: () => false,
    });
    expect(() => restarted.verify(offer)).toThrowError(expect.objectContaining({ code: 'offer/session-reused' }));
  });

  it('gives no shares when its decision cannot be written to disk', async () => {
    const offer = aRound(seats, { privacy: withoutNoise });
    const players = seats.map((seat) => new Player(seat, offer));
    const { proof } = await upToUnmasking(players);
    await seats[0].parts.decisions.close();
    players[0].ask('unmasking', proof);
    await expect(players[0].result).rejects.toThrow();
    expect(players[0].answers.has('unmasking')).toBe(false);
  });

  it('writes its decision before it gives its shares', async () => {
    const offer = aRound(seats, { privacy: withoutNoise });
    const players = seats.map((seat) => new Player(seat, offer));
    const { proof } = await upToUnmasking(players);
    players[0].ask('unmasking', proof);
    await players[0].answer('unmasking');
    expect(await readFile(join(seats[0].folder, 'decisions.jsonl'), 'utf8')).toContain('"kind":"unmasking"');
    players.forEach((player) => player.talk.end({ kind: 'aborted', cause: 'test over' }));
    await Promise.allSettled(players.map((player) => player.result));
  });

  it('attack: a data set under another name, to begin a fresh budget: its records have spent theirs, and it is declined before it joins', async () => {
    const round = { unit: 'record', noiseMultiplier: 0.8, samplingRate: 1, steps: 1, delta: 1e-5 } as const;
    const cap = epsilonFor([{ noiseMultiplier: 0.8, samplingRate: 1, steps: 2 }], 1e-5).epsilon;
    const seat = await aSeat('bank', 30, { epsilonCap: cap });
    const offer = aRound([seat, await aSeat('clinic', 30), await aSeat('council', 30)]);
    const { ledger } = seat.parts;
    await ledger.recognise(await seat.parts.workbench.examples(aManifest()), 0);
    await ledger.record({ ...round, runId: 'before', roundId: 'before-r1', manifestHash: 'a'.repeat(64) }, 0);
    await ledger.record({ ...round, runId: 'before', roundId: 'before-r2', manifestHash: 'a'.repeat(64) }, 0);

    const renamed = await anAccount(join(seat.folder, 'ledger'), 'renamed', seat.identity);
    openFiles.push(renamed);
    const player = new Player({ ...seat, parts: { ...seat.parts, ledger: renamed } }, offer);
    expect(await player.result).toEqual({ kind: 'declined', reason: 'policy/epsilon-cap' });
    expect(player.answers.size).toBe(0);
    expect(seat.engine.calls).toBe(0);
    expect(seat.parts.decisions.hasJoined(player.round.sid)).toBe(false);
    expect(renamed.entries.map(({ roundId }) => roundId)).toEqual(['before-r1', 'before-r2']);
  });

  it('when the device is lost in the middle of learning, withdraws with a cause and its charge, and computes the next round on another', async () => {
    const seats = await Promise.all(['bank', 'clinic', 'council'].map((name) => aSeat(name, 30)));
    const engines = [fakeEngine(0.5), fakeEngine(0.5)];
    const closed: number[] = [];
    engines.forEach((engine, i) => (engine.close = async () => void closed.push(i)));
    engines[0].gradients = async () => Promise.reject(new Error('CUDA_ERROR_DEVICE_LOST'));
    let opened = 0;
    const workbench = new Workbench({
      files: [join(seats[0].folder, 'identity.key')],
      readExamples: async () => seats[0].parts.workbench.examples(aManifest()),
      openEngine: async () => engines[opened++],
    });
    const withWorkbench = { ...seats[0], parts: { ...seats[0].parts, workbench } };
    const play = async (offer: RoundOffer): Promise<Player[]> => {
      const players = [withWorkbench, seats[1], seats[2]].map((seat) => new Player(seat, offer));
      await upToTraining(players);
      return players;
    };
    const offer = aRound(seats);
    const players = await play(offer);
    await expect(players[0].result).rejects.toMatchObject({ code: 'engine/failed' });
    expect(seats[0].uploads).toEqual([]);
    expect(seats[0].parts.ledger.entries).toHaveLength(1);
    expect(closed).toEqual([0]);
    players.forEach((player) => player.talk.end({ kind: 'aborted', cause: 'test over' }));
    await Promise.allSettled(players.map((player) => player.result));

    const again = await play({ ...offer, roundId: 'run-1-r2', number: 2, previousSid: players[0].round.sid });
    await again[0].answer('training');
    expect(seats[0].uploads).toHaveLength(1);
    expect(engines[1].calls).toBeGreaterThan(0);
    expect(seats[0].parts.ledger.entries).toHaveLength(2);
    again.forEach((player) => player.talk.end({ kind: 'aborted', cause: 'test over' }));
    await Promise.allSettled(again.map((player) => player.result));
  });

  it('uses no row and sends nothing when the ledger cannot be written', async () => {
    const offer = aRound(seats);
    const players = seats.map((seat) => new Player(seat, offer));
    const { secagg: terms } = players[0].round;
    const keyList = ready(
      planKeyList(crypto, terms, await Promise.all(players.map((player) => player.answer('advertising')))),
    );
    await seats[0].parts.ledger.close();
    players.forEach((player) => player.ask('sharing', keyList));
    const deliveries = ready(
      planDeliveries(crypto, terms, keyList, await Promise.all(players.map((player) => player.answer('sharing')))),
    );
    players[0].ask('training', deliveries.messageFor(0));
    await expect(players[0].result).rejects.toThrow();
    expect(seats[0].engine.calls).toBe(0);
    expect(seats[0].uploads).toEqual([]);
    players.slice(1).forEach((player) => player.talk.end({ kind: 'aborted', cause: 'test over' }));
    await Promise.allSettled(players.map((player) => player.result));
  });
});

describe('attack', () => {
  let seats: Seat[];
  beforeEach(async () => {
    seats = await Promise.all([aSeat('bank', 10), aSeat('clinic', 12), aSeat('council', 8)]);
  });
  afterEach(async () => {
    await Promise.allSettled(openFiles.splice(0).map((file) => file.close()));
  });
  const take = (offer: RoundOffer, from = seats): Player[] => from.map((seat) => new Player(seat, offer));
  /** The next round, in which the coordinator is honest, counts everyone. */
  async function nextRoundWorks(after: RoundOffer): Promise<void> {
    for (const { uploads } of seats) uploads.length = 0;
    const next = take({ ...after, roundId: 'run-1-next', number: after.number + 7 });
    await wholeRound(next);
    expect(await Promise.all(next.map(({ result }) => result))).toEqual(
      Array(3).fill({ kind: 'counted', version: 'v2' }),
    );
  }

  it('two base adapters in one round: nobody accepts the keys of a cohort with another base', async () => {
    const offer = aRound(seats, { privacy: withoutNoise });
    const evil = { ...offer, baseVersion: 'e'.repeat(40) };
    const [victim, ...others] = [new Player(seats[0], evil), ...take(offer, seats.slice(1))];
    const keys = await Promise.all([victim, ...others].map((player) => player.answer('advertising')));
    const { secagg: terms } = others[0].round;
    expect(planKeyList(crypto, terms, keys).refused).toEqual([{ sender: 0, code: 'secagg/wrong-session' }]);
    const mixed = encodeKeyList({ sid: terms.sid, keys: keys.map(decodeAdvertiseKeys) });
    for (const player of [victim, ...others]) player.ask('sharing', mixed);
    await expect(victim.result).rejects.toMatchObject({ code: 'secagg/wrong-session' });
    for (const { result } of others) await expect(result).rejects.toMatchObject({ code: 'crypto/bad-signature' });
    expect(seats.every(({ uploads, parts }) => uploads.length === 0 && parts.ledger.entries.length === 0)).toBe(true);
    await nextRoundWorks(offer);
  });

  it('the server asking after a restart: the session was joined on disk, and no share is given', async () => {
    const offer = aRound(seats, { privacy: withoutNoise });
    const players = take(offer);
    const { proof } = await upToUnmasking(players);
    players.forEach((player) => player.talk.abort(new FedloraError('round/aborted')));
    await Promise.allSettled(players.map(({ result }) => result));
    for (const { folder, verifier } of seats) {
      const decisions = await Decisions.open(join(folder, 'decisions.jsonl'));
      openFiles.push(decisions);
      expect(decisions.hasJoined(players[0].round.sid)).toBe(true);
      expect(() => verifier.verify(offer)).toThrowError(expect.objectContaining({ code: 'offer/session-reused' }));
    }
    expect(proof.length).toBeGreaterThan(0);
    expect(players.every(({ answers }) => !answers.has('unmasking'))).toBe(true);
    await nextRoundWorks(offer);
  });

  it('differencing by forced retry: the retry has new noise and new masks, and is charged again', async () => {
    const offer = aRound(seats);
    const first = await wholeRound(take(offer));
    const before = seats.map(({ uploads }) => uploads.splice(0)[0].words);
    const retry = { ...offer, roundId: 'run-1-r2', number: 2 };
    const players = take(retry);
    const second = await wholeRound(players);
    const noise = first.map((value, i) => value - second[i]); // same rows, same adapter, sampling rate 1
    const stddev = (players[0].round.shareStddev * Math.sqrt(2 * 3)) / players[0].round.manifest.encoding.stepsPerUnit;
    const spread = Math.sqrt(noise.reduce((sum, value) => sum + value * value, 0) / noise.length);
    expect(noise.every((value) => value !== 0)).toBe(true);
    // Root mean square of 18 normal values: outside 0.45 to 1.7 standard deviations with probability below 1e-4.
    expect(spread / stddev).toBeGreaterThan(0.45);
    expect(spread / stddev).toBeLessThan(1.7);
    seats.forEach(({ uploads, parts }, i) => {
      expect(uploads[0].words.some((word, j) => word === before[i][j])).toBe(false);
      expect(parts.ledger.entries.map(({ roundId }) => roundId)).toEqual(['run-1-r1', 'run-1-r2']);
    });
    await nextRoundWorks(offer);
  });

  it('free numbers on the wire: of all that a client sends or tells, only masked words and their hash depend on its rows', async () => {
    /** What each of three organisations sends, and what they tell the log, where the first has these gradients and losses. */
    const transcript = async (size: number): Promise<{ sent: string[][]; told: string[] }> => {
      const told: string[] = [];
      const cast = await Promise.all(['bank', 'clinic', 'council'].map((name) => aSeat(name, 10)));
      const identities = seats.map(({ identity }) => identity);
      const same = cast.map((seat, i) => ({
        ...seat,
        identity: identities[i],
        engine: fakeEngine(i === 0 ? size : 0.5),
      }));
      const offer = aRound(seats, { privacy: withoutNoise });
      const players = same.map((seat, i) => {
        const parts: Seat['parts'] = {
          ...seat.parts,
          secagg: { ...seat.parts.secagg, sign: (message) => identities[i].sign(message) },
          workbench: { ...seat.parts.workbench, engine: async () => seat.engine } as unknown as Workbench,
          observe: (stage, facts) => told.push(`${i} ${stage} ${JSON.stringify(facts ?? {})}`),
        };
        return new Player({ ...seat, parts, verifier: seats[i].verifier }, offer);
      });
      await wholeRound(players);
      const sent = players.map(({ answers }) => [...answers].map(([phase, bytes]) => `${phase} ${toHex(bytes)}`));
      return { sent, told: told.sort() };
    };
    const [calm, wild] = [await transcript(0.1), await transcript(0.9)];
    expect(wild.told).toEqual(calm.told);
    expect(wild.sent.slice(1)).toEqual(calm.sent.slice(1));
    const differing = calm.sent[0].filter((message, i) => message !== wild.sent[0][i]).map((one) => one.split(' ')[0]);
    expect(differing).toEqual(['training']); // the receipt: hash of the words, and signature over it
    const receipts = [calm, wild].map(({ sent }) =>
      decodeMaskedInput(fromHex(sent[0].find((one) => one.startsWith('training'))!.split(' ')[1])),
    );
    expect({ ...receipts[0], wordsHash: 0, signature: 0 }).toEqual({ ...receipts[1], wordsHash: 0, signature: 0 });
    await nextRoundWorks(aRound(seats, { privacy: withoutNoise }));
  });
});
