import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeFloats, encodeFloats } from '@fedlora/shared';
import { afterAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine, type OnnxEngineOptions } from '../../client/src/engine/onnx/engine.js';
import type { BaseModel } from '../../client/src/engine/weights/base-model.js';
import { HalfTable, type HalfFormat } from '../../client/src/engine/weights/half-table.js';
import type { QuantizeReport } from '../../client/src/engine/weights/nf4-store.js';
import { fixtureFolder, fixtures, modelOf, relativeError, storedModel, toBatch } from './engine-fixtures.js';

const fixture = fixtures['tiny'];
const batch = toBatch(fixture.batch);
const stored = storedModel(join(fixtureFolder, 'tiny'));
const tables: readonly string[] = ['model.embed_tokens.weight', 'lm_head.weight'];

const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

async function anEngine(
  plan: OnnxEngineOptions['plan'],
  base = stored,
  more: Partial<OnnxEngineOptions> = {},
): Promise<Engine> {
  const engine = await createOnnxEngine({
    base,
    lora: fixture.lora,
    quantization: 'none',
    threads: 1,
    ...(plan === undefined ? {} : { plan }),
    ...more,
  });
  engine.setAdapter(modelOf(fixture).adapter);
  open.push(engine);
  return engine;
}

/** The fixture's model as if its tables were stored in 16 bits. */
function inHalves(format: HalfFormat): BaseModel {
  const bytesOf = async (name: string, shape: readonly number[]): Promise<Uint8Array> =>
    encodeFloats(await stored.tensor(name, shape), format);
  return {
    ...stored,
    tensor: async (name, shape) =>
      tables.includes(name) ? decodeFloats(await bytesOf(name, shape), format) : stored.tensor(name, shape),
    halves: async (name, shape) => new HalfTable(name, format, shape[1], await bytesOf(name, shape)),
  };
}

/** Everything that an engine computes, equal to 1e-6. */
async function expectAlike(found: Engine, wanted: Engine): Promise<void> {
  for (const l2Bound of [0.5, null]) {
    const options = { trained: 'both' as const, l2Bound };
    const [a, b] = [await found.gradients(batch, options), await wanted.gradients(batch, options)];
    expect(relativeError(a.clippedSum, b.clippedSum)).toBeLessThan(1e-6);
    expect(relativeError(a.losses, b.losses)).toBeLessThan(1e-6);
    if (l2Bound !== null) expect(relativeError(a.norms!, b.norms!)).toBeLessThan(1e-6);
  }
  const [a, b] = [await found.evaluate(batch), await wanted.evaluate(batch)];
  expect(relativeError(a.losses, b.losses)).toBeLessThan(1e-6);
  expect([...a.exact]).toEqual([...b.exact]);
  const lengths = new Int32Array(batch.examples).fill(batch.length);
  expect(relativeError(await found.logits(batch, lengths), await wanted.logits(batch, lengths))).toBeLessThan(1e-6);
}

describe('logits in parts of the vocabulary', () => {
  it.each([
    ['whole', 2],
    ['whole', 8],
    ['blocks', 4],
  ] as const)('give what the %s graph gives at once, in %i parts', async (structure, parts) => {
    const plan = { structure, weights: 'dense' } as const;
    const logitsBytes = (4 * 768 * stored.config.vocab_size) / parts;
    await expectAlike(await anEngine({ ...plan, rows: 768, logitsBytes }), await anEngine(plan));
  });

  it('do not make an example depend on its company', async () => {
    const engine = await anEngine({ structure: 'whole', weights: 'merged', logitsBytes: 40_000 }); // 8 parts
    const together = await engine.gradients(batch, { trained: 'both', l2Bound: 1 });
    const { length } = batch;
    const one = { examples: 1, length, ids: batch.ids.slice(0, length), answerMask: batch.answerMask.slice(0, length) };
    const alone = await engine.gradients(one, { trained: 'both', l2Bound: 1 });
    expect(alone.norms![0]).toBe(together.norms![0]);
    expect(alone.losses[0]).toBe(together.losses[0]);
  });
});

describe('embedding and head held in 16 bits', () => {
  it.each([
    ['BF16', 1],
    ['BF16', 8],
    ['F16', 4],
  ] as const)('give what the same values in f32 give: %s in %i parts', async (format, parts) => {
    const plan = { structure: 'blocks', weights: 'dense' } as const;
    const base = inHalves(format);
    const logitsBytes = (4 * 1024 * base.config.vocab_size) / parts;
    const found = await anEngine({ ...plan, rows: 1024, tables: 'stored', logitsBytes }, base);
    await expectAlike(found, await anEngine({ ...plan, tables: 'f32' }, base));
  });

  it('fall back to f32 where the checkpoint has more bits', async () => {
    const base: BaseModel = { ...stored, halves: async () => undefined };
    const plan = { structure: 'blocks', weights: 'dense' } as const;
    await expectAlike(await anEngine({ ...plan, tables: 'stored' }, base), await anEngine(plan));
  });
});

describe('NF4 weights of an engine', () => {
  it('come from the cache the second time, with the same results', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-engine-'));
    try {
      const reports: QuantizeReport[] = [];
      const nf4 = { cacheFolder: folder, onFinished: (report: QuantizeReport) => void reports.push(report) };
      const base = { ...stored, digest: 'd'.repeat(64) };
      const first = await anEngine({ weights: 'nf4' }, base, { quantization: 'nf4', nf4 });
      const second = await anEngine({ weights: 'nf4' }, base, { quantization: 'nf4', nf4 });
      expect(reports.map(({ cache }) => cache)).toEqual(['written', 'read']);
      const options = { trained: 'both' as const, l2Bound: 1 };
      const [a, b] = [await first.gradients(batch, options), await second.gradients(batch, options)];
      expect(a.clippedSum).toEqual(b.clippedSum);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
