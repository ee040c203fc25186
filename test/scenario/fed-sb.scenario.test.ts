/**
 * A run of rule `fed-sb` from its terms to the adapters that downstream services load: a coordinator that is killed on the way,
 * organisations with made-up updates, the client's own checks of each version, and both engines.
 */

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromHex, manifestHash, toHex, type Manifest } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { decodeAdapter, routes, type RoundView, type RunView, type VersionRecord } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdapterValues, Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine } from '../../client/src/engine/onnx/engine.js';
import { knownModel } from '../../client/src/engine/onnx/known-model.js';
import { createTfjsEngine } from '../../client/src/engine/tfjs/engine.js';
import { AdapterSource } from '../../client/src/round/workbench.js';
import type { VerifiedRound } from '../../client/src/round/verify-offer.js';
import { AdapterStore } from '../../client/src/storage/adapters.js';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { fixtures, relativeError, toBatch } from '../conformance/engine-fixtures.js';
import { FakeFederation, untilRound, untilRun } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { listAll, operate } from '../support/requests.js';

/** Two engines in f32, of which one multiplies by R and the other by B R, rounded. */
const BETWEEN_ENGINES = 1e-5;

const NAMES = ['bank', 'clinic', 'council'];
const { config, seed, batch: rows } = fixtures['qwen2'];
const { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim } =
  config;

/** Differences averaged as they are. */
const description = {
  title: 'A run',
  rounds: 3,
  base: {
    name: 'known',
    digest: 'b'.repeat(64),
    shape: { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim },
  },
  adapter: { rule: 'fed-sb', r: 5, lora_alpha: 10, target_modules: ['q_proj', 'o_proj', 'up_proj'], rebaseEvery: 0 },
  data: { format: 'alpaca', maximumLength: 64 },
  privacy: { unit: 'none', l2Bound: 2, noiseMultiplier: 0, delta: 0, assumedColluders: 1 },
  training: { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
  server: { kind: 'sgd', learningRate: 1, finalLearningRateFraction: 1, beta1: 0, beta2: 0.95 },
  deadlinesMs: { advertising: 5000, sharing: 5000, training: 5000, checking: 5000, unmasking: 5000 },
};

describe('a run of fed-sb', () => {
  const federation = new FakeFederation();
  let folder: string;
  let coordinator: RunningCoordinator;
  let token: string;
  let manifest: Manifest;
  let rounds: readonly RoundView[];
  const engines: Engine[] = [];

  async function start(): Promise<void> {
    coordinator = await startCoordinator({
      dataFolder: folder,
      host: '127.0.0.1',
      port: 0,
      logLevel: 'silent',
      federationKey: federation.federationKey,
    });
    if (coordinator.setupToken !== undefined)
      token = (await becomeFirstAdmin(coordinator.url, coordinator.setupToken)).token;
  }

  const fileOf = (version: string, name: string): Promise<Buffer> => readFile(join(folder, 'versions', version, name));

  /** What a client starts a round from: signature, frozen factors and product checked. */
  async function asClient(version: string): Promise<AdapterValues> {
    const record = JSON.parse((await fileOf(version, 'manifest.json')).toString('utf8')) as VersionRecord;
    const key = nodeProvider.ed25519.publicKey(
      fromHex((await readFile(join(folder, 'coordinator.key'), 'utf8')).trim()),
    );
    const store = new AdapterStore(join(folder, 'versions'), toHex(key), 100);
    const source = new AdapterSource(store, () => Promise.reject(new Error('The version on disk was not accepted.')));
    // Safe: loading looks at nothing else.
    const round = { ...record, manifest, baseVersion: version } as unknown as VerifiedRound;
    return source.load(round, new AbortController().signal);
  }

  /** What PEFT reads. */
  const asPeft = async (version: string): Promise<AdapterValues> =>
    decodeAdapter(await fileOf(version, 'adapter_model.safetensors'), manifest.adapter.modules, manifest.adapter.r);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-fed-sb-'));
    await start();
    await federation.enrol(coordinator.url, token, NAMES);
    await federation.connect(coordinator.url);
    const [, , council] = federation.organisations;
    let isSilent = true;
    council.ignores = ({ offer, phase, roundId }) => {
      if (offer !== undefined) manifest = JSON.parse(offer.manifest) as Manifest;
      return isSilent && phase === 'training' && roundId.endsWith('-r2');
    };
    const { id } = await operate<RunView>(coordinator.url, token, 'POST', routes.runs, description);
    await untilRound(coordinator.url, token, id, ({ number, phase }) => number === 2 && phase === 'training');

    // The second round goes on from what is on disk.
    federation.disconnect();
    await coordinator.close({ abruptly: true });
    isSilent = false;
    await start();
    await federation.connect(coordinator.url);
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ status: 'completed', completedRounds: 3 });
    rounds = (await listAll<RoundView>(coordinator.url, token, routes.rounds(id))).toReversed();

    const { base } = knownModel(config, seed);
    const { r, loraAlpha, targetModules } = manifest.adapter;
    const lora = { r, lora_alpha: loraAlpha, use_rslora: false, target_modules: targetModules };
    engines.push(await createOnnxEngine({ base, lora, quantization: 'none', threads: 1, selfTest: false }));
    engines.push(await createTfjsEngine({ base, lora, quantization: 'none', backend: 'cpu', selfTest: false }));
  });

  afterAll(async () => {
    await Promise.all(engines.map((engine) => engine.close()));
    federation.disconnect();
    await coordinator.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('sends r x r values a module, and moves R by exactly their mean, a killed coordinator notwithstanding', async () => {
    const { stepsPerUnit } = manifest.encoding;
    const size = manifest.adapter.r ** 2;
    for (const { id, baseVersion, version } of rounds) {
      const [before, after] = [await asClient(baseVersion), await asClient(version ?? '')];
      const sent = federation.organisations.map(({ contributed }) => contributed.get(id) ?? new Int32Array(0));
      for (const { length } of sent) expect(length).toBe(manifest.adapter.modules.length * size + 2);
      after.modules.forEach(({ A, B, R }, module) => {
        expect({ A, B }).toEqual({ A: before.modules[module].A, B: before.modules[module].B });
        R!.forEach((value, i) => {
          const at = module * size + i;
          const mean = sent.reduce((sum, levels) => sum + levels[at], 0) / stepsPerUnit / NAMES.length;
          expect(value).toBe(Math.fround(before.modules[module].R![i] + Math.fround(mean)));
        });
      });
    }
  });

  it('makes versions whose PEFT export gives every engine the loss that it has with R between the frozen factors', async () => {
    const batch = toBatch(rows);
    const losses = async (engine: Engine, adapter: AdapterValues): Promise<Float32Array> => {
      engine.setAdapter(adapter);
      return (await engine.evaluate(batch)).losses;
    };
    const [onnx, tfjs] = engines;
    const untrained = await losses(onnx, await asPeft(rounds[0].baseVersion));
    const { base } = knownModel(config, seed);
    const other = await createOnnxEngine({ base, lora: onnx.lora, quantization: 'none', threads: 1, selfTest: false });
    engines.push(other);
    expect(untrained).toEqual((await other.evaluate(batch)).losses); // of the base model: R starts at zero
    for (const { version } of rounds) {
      const plain = await losses(onnx, await asPeft(version ?? ''));
      // By how much depends on the run's random id; more than engines differ by.
      expect(relativeError(plain, untrained)).toBeGreaterThan(10 * BETWEEN_ENGINES);
      const trained = await asClient(version ?? '');
      expect(await losses(onnx, trained)).toEqual(plain);
      expect(relativeError(await losses(tfjs, trained), plain)).toBeLessThan(BETWEEN_ENGINES);
      expect(relativeError(await losses(tfjs, await asPeft(version ?? '')), plain)).toBeLessThan(BETWEEN_ENGINES);
    }
  });

  it('names the frozen factors in the signed terms, and R in each version’s record and card', async () => {
    expect(manifest.adapter.frozenDigest).toMatch(/^[0-9a-f]{64}$/);
    const version = rounds.at(-1)?.version ?? '';
    expect((await readdir(join(folder, 'versions', version))).sort()).toEqual([
      'README.md',
      'adapter_config.json',
      'adapter_model.safetensors',
      'attestation.intoto.jsonl',
      'fed_sb.safetensors',
      'manifest.json',
      'manifest.sig',
    ]);
    const record = JSON.parse((await fileOf(version, 'manifest.json')).toString('utf8')) as VersionRecord;
    expect(record.manifestHash).toBe(manifestHash(manifest));
    expect(record.files.map(({ name }) => name)).toContain('fed_sb.safetensors');
    expect((await fileOf(version, 'README.md')).toString('utf8')).toContain('fed-sb: R trained between frozen A and B');
  });
});
