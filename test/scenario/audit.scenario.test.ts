/**
 * An audit from the canaries to its verdict, on adapters that a real base model was trained to through the clients' and the coordinator's
 * own code: it finds out a run that promises noise and has none, and is silent about the same run with its noise.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { epsilonFor, noiseMultiplierFor, type Manifest } from '@fedlora/protocol';
import { seededRandom } from '@fedlora/protocol/node';
import { openBaseModel, type BaseModel, type Engine } from '@fedlora/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCanaries, recordPathOf, sealCanaries, writeCanaries } from '../../client/src/audit/canary-record.js';
import type { AuditReport } from '../../client/src/cli/audit-report.js';
import { createOnnxEngine } from '../../client/src/engine/onnx/engine.js';
import { readExamples } from '../../client/src/round/read-examples.js';
import { exampleTerms, type RoundExample } from '../../client/src/round/round-example.js';
import { VersionStore } from '../../coordinator/src/adapters/version-store.js';
import { FolderBlobs } from '../../coordinator/src/storage/folder-blobs.js';
import { openCoordinatorKey } from '../../coordinator/src/storage/keys.js';
import { planRun } from '../../coordinator/src/runs/plan-run.js';
import { generateDemoData } from '../demo/organisations.js';
import { demoBase, root } from '../e2e/small-network.js';
import { fedlora, type Printed } from '../support/command-line.js';
import { describeOpened, inventedRoster, trainFederated } from '../support/federated-training.js';
import { writeRows } from '../support/network.js';

const CANARIES = 40;
const GUESSES = 20;
const ROUNDS = 20;
const SAMPLING_RATE = 0.8;
const EPSILON = 1;
const DELTA = 1e-5;

describe('an audit with canaries', () => {
  let folder: string;
  let base: BaseModel;
  let engine: Engine;
  let store: VersionStore;
  let organisations: readonly (readonly RoundExample[])[];
  const inFolder = (name: string): string => join(folder, name);
  const canaryFile = (): string => inFolder('canaries.jsonl');

  const rowsOf = (name: string): string => inFolder(`${name}.jsonl`);
  const measuring = (adapter: string): string[] => {
    const files = ['--record', recordPathOf(canaryFile()), '--base', demoBase, '--adapter', adapter];
    return ['audit', 'measure', ...files, '--threads', '1', '--no-cache'];
  };

  /** The terms of a run; without noise they promise nothing. */
  async function terms(hasNoise: boolean): Promise<Manifest> {
    const records = organisations.reduce((sum, rows) => sum + rows.length, 0);
    const privacy = hasNoise
      ? {
          unit: 'record' as const,
          noiseMultiplier: noiseMultiplierFor({
            epsilon: EPSILON,
            delta: DELTA,
            samplingRate: SAMPLING_RATE,
            steps: ROUNDS,
          }),
          delta: DELTA,
        }
      : { unit: 'none' as const, noiseMultiplier: 0, delta: 0 };
    return planRun(
      {
        title: 'Audited',
        rounds: ROUNDS,
        base: describeOpened(base),
        adapter: { rule: 'ffa-svd', r: 8, lora_alpha: 16, target_modules: ['all-linear'], rebaseEvery: 0 },
        data: { format: 'alpaca', maximumLength: 64 },
        privacy: { l2Bound: 4, assumedColluders: 1, ...privacy },
        training: {
          kind: 'record-step',
          samplingRate: SAMPLING_RATE,
          expectedRecords: Math.round(SAMPLING_RATE * records),
          maximumRecords: records,
        },
        server: { kind: 'adam', learningRate: 0.06, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
      },
      'audited',
      inventedRoster(organisations.length),
    );
  }

  /** Trains by the terms `ran`, and publishes the result under those that were `promised`; measures it with the command line. */
  async function auditOf(ran: Manifest, promised: Manifest): Promise<{ printed: Printed; adapter: string }> {
    const { noiseMultiplier } = promised.privacy;
    const adapter = await trainFederated({ manifest: ran, organisations, engine, random: seededRandom('rounds') });
    const { id } = await store.publish(promised, adapter, {
      parent: null,
      roundId: null,
      completedRounds: ROUNDS,
      organisations: organisations.length,
      epsilon:
        promised.privacy.unit === 'none'
          ? null
          : epsilonFor([{ noiseMultiplier, samplingRate: SAMPLING_RATE, steps: ROUNDS }], DELTA).epsilon,
      parentOnHeldOut: null,
      audits: [],
      createdAt: 0,
    });
    return { printed: await fedlora([...measuring(inFolder(id)), '--json']), adapter: inFolder(id) };
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-audit-'));
    store = new VersionStore(new FolderBlobs(folder), await openCoordinatorKey(inFolder('coordinator.key')));
    await writeCanaries(
      canaryFile(),
      sealCanaries({ count: CANARIES, guesses: GUESSES, format: 'alpaca' }, seededRandom('coins')),
    );
    const phrases = join(root, 'deploy', 'demo', 'phrases.json');
    const data = await generateDemoData(phrases, { organisations: 3, rowsPerOrganisation: 12, testRows: 1, seed: 3 });
    const files: string[][] = [];
    for (const [name, rows] of data.training) {
      const file = rowsOf(name);
      await writeRows(file, rows);
      files.push(files.length === 0 ? [file, canaryFile()] : [file]);
    }
    const read = exampleTerms({
      data: { format: 'alpaca', template: 'alpaca', maximumLength: 64 },
      metrics: { weight: 0, lossBound: 8 },
    });
    organisations = await Promise.all(
      files.map((some) => readExamples({ files: some, format: 'alpaca' }, demoBase, read, new Uint8Array(32))),
    );
    base = await openBaseModel(demoBase);
    const { adapter } = await terms(false);
    engine = await createOnnxEngine({
      base,
      lora: { r: adapter.r, lora_alpha: adapter.loraAlpha, use_rslora: false, target_modules: adapter.targetModules },
      quantization: 'nf4',
      threads: 1,
      selfTest: false,
    });
  });

  afterAll(async () => {
    await engine.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('finds the canaries in a run whose noise is missing, and contradicts its epsilon', async () => {
    const { printed, adapter } = await auditOf(await terms(false), await terms(true));
    expect(printed.code).toBe(21);
    expect(printed.error).toContain('[adapter/promise-contradicted]');
    const { seal } = await readCanaries(recordPathOf(canaryFile()));
    const report = JSON.parse(printed.out) as AuditReport;
    expect(report).toMatchObject({
      verdict: 'contradicted',
      canaries: CANARIES,
      guesses: GUESSES,
      right: GUESSES,
      seal,
    });
    expect(report.promise?.epsilon).toBeCloseTo(EPSILON, 3);
    expect(report.epsilonLowerBound).toBeGreaterThan(EPSILON);
    expect(report.membership.loss.auc).toBeGreaterThan(0.9);
    expect(report.exposure.mean).toBeGreaterThan(report.exposure.withoutMemory + 2);

    const told = await fedlora([...measuring(adapter), '--members', rowsOf('bank'), '--others', rowsOf('clinic')]);
    expect(told.code).toBe(21);
    expect(told.out).toContain('Guesses     20 of 20 right');
    expect(told.out).toContain('Rows        12 learned from, 12 not');
    expect(told.out).toContain('The promise is contradicted.');
    for (const line of told.out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  it('does not contradict the same run with its noise', async () => {
    const promised = await terms(true);
    const { printed } = await auditOf(promised, promised);
    expect(printed.code).toBe(0);
    const report = JSON.parse(printed.out) as AuditReport;
    expect(report.verdict).toBe('not-contradicted');
    expect(report.promise?.epsilon).toBeCloseTo(EPSILON, 3);
    expect(report.epsilonLowerBound).toBeLessThan(EPSILON);
  });
});
