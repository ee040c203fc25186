import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../client/src/engine/engine.js';
import { createOnnxEngine, type OnnxEngineOptions } from '../../client/src/engine/onnx/engine.js';
import { join } from 'node:path';
import {
  expected,
  fixtureFolder,
  fixtures,
  labelLogits,
  modelOf,
  relativeError,
  storedModel,
  tenSteps,
  toBatch,
  withFactorR,
  type Fixture,
} from './engine-fixtures.js';

/** f32 through three blocks against f64: 1.3e-5 measured, most of it the margin of `roundedDownBound`; the bound of DESIGN section 8. */
const GRADIENT = 1e-4;
const LOSS = 1e-5;
const LOGITS = 1e-5;

/** Adam divides by the gradient's own size, which magnifies rounding where that is small. */
const TEN_STEPS = 1e-4;

type Plan = NonNullable<OnnxEngineOptions['plan']>;

const plans: [string, Plan][] = [
  ['whole graph, adapter merged', { structure: 'whole', weights: 'merged' }],
  ['whole graph, adapter beside f32 weights', { structure: 'whole', weights: 'dense' }],
  ['blocks computed twice, adapter beside f32 weights', { structure: 'blocks', weights: 'dense', keptBytes: 0 }],
  ['blocks with kept activations, adapter merged', { structure: 'blocks', weights: 'merged', keptBytes: Infinity }],
];
const nf4Plans: [string, Plan][] = [
  ['whole graph, NF4', { structure: 'whole', weights: 'nf4' }],
  ['blocks computed twice, NF4', { structure: 'blocks', weights: 'nf4', keptBytes: 0 }],
  ['blocks with kept activations, NF4', { structure: 'blocks', weights: 'nf4', keptBytes: Infinity }],
  ['whole graph, NF4 merged', { structure: 'whole', weights: 'merged' }],
];

const open: Engine[] = [];
afterAll(() => Promise.all(open.map((engine) => engine.close())));

async function engineOf(fixture: Fixture, plan: Plan, name: string): Promise<Engine> {
  const { base: generated, adapter } = modelOf(fixture);
  const isStored = name === 'tiny';
  const base = isStored ? storedModel(join(fixtureFolder, 'tiny')) : generated;
  const quantization = isStored && nf4Plans.some(([, other]) => other === plan) ? 'nf4' : 'none';
  const engine = await createOnnxEngine({ base, lora: fixture.lora, quantization, threads: 1, plan });
  engine.setAdapter(adapter);
  open.push(engine);
  return engine;
}

for (const [name, fixture] of Object.entries(fixtures)) {
  for (const [planName, plan] of name === 'tiny' ? [...plans, ...nf4Plans] : plans) {
    describe(`${name}, ${planName}: what transformers and peft compute`, () => {
      let engine: Engine;
      beforeAll(async () => {
        engine = await engineOf(fixture, plan, name);
      });

      for (const trained of ['A', 'B', 'both'] as const) {
        it(`gradients of ${trained}, clipped by example and summed`, async () => {
          const { l2Bound, norms } = fixture.trained[trained];
          const found = await engine.gradients(toBatch(fixture.batch), { trained, l2Bound });
          expect(relativeError(found.losses, fixture.losses)).toBeLessThan(LOSS);
          expect(relativeError(found.norms!, norms)).toBeLessThan(GRADIENT);
          expect(relativeError(found.clippedSum, expected.get(`${name}.${trained}`)!)).toBeLessThan(GRADIENT);
          let offset = 0;
          for (const module of engine.modules) {
            for (const factor of trained === 'both' ? ['A', 'B'] : [trained]) {
              const size = engine.lora.r * (factor === 'A' ? module.inFeatures : module.outFeatures);
              const part = (all: Float32Array): Float32Array => all.subarray(offset, offset + size);
              const error = relativeError(part(found.clippedSum), part(expected.get(`${name}.${trained}`)!));
              expect(error, `${module.name}.${factor}`).toBeLessThan(GRADIENT);
              offset += size;
            }
          }
          expect(offset).toBe(found.clippedSum.length);
        });

        it(`gradients of ${trained}, summed as they are`, async () => {
          const found = await engine.gradients(toBatch(fixture.batch), { trained, l2Bound: null });
          expect(found.norms).toBeUndefined();
          expect(relativeError(found.clippedSum, expected.get(`${name}.${trained}.unclipped`)!)).toBeLessThan(GRADIENT);
        });
      }

      it('gradients of R between frozen A and B, clipped by example or summed as they are, and the losses of s B R A', async () => {
        const { adapter } = modelOf(fixture);
        engine.setAdapter(withFactorR(fixture, adapter));
        const { l2Bound, norms, losses } = fixture.trained.R;
        const found = await engine.gradients(toBatch(fixture.batch), { trained: 'R', l2Bound });
        expect(relativeError(found.losses, losses)).toBeLessThan(LOSS);
        expect(relativeError(found.norms!, norms)).toBeLessThan(GRADIENT);
        const wanted = expected.get(`${name}.R`)!;
        const size = engine.lora.r ** 2;
        engine.modules.forEach((module, i) => {
          const part = (all: Float32Array): Float32Array => all.subarray(i * size, (i + 1) * size);
          expect(relativeError(part(found.clippedSum), part(wanted)), module.name).toBeLessThan(GRADIENT);
        });
        expect(found.clippedSum.length).toBe(engine.modules.length * size);
        const whole = await engine.gradients(toBatch(fixture.batch, 3), { trained: 'R', l2Bound: null });
        expect(relativeError(whole.clippedSum, expected.get(`${name}.R.unclipped`)!)).toBeLessThan(GRADIENT);
        expect(relativeError((await engine.evaluate(toBatch(fixture.batch))).losses, losses)).toBeLessThan(LOSS);
        engine.setAdapter(adapter);
      });

      it('losses and greedy answers', async () => {
        const { losses, exact } = await engine.evaluate(toBatch(fixture.batch));
        expect(relativeError(losses, fixture.losses)).toBeLessThan(LOSS);
        expect([...exact]).toEqual(fixture.exact);
      });

      it('logits at the positions that predict an answer', async () => {
        const logits = await labelLogits(engine, fixture.batch);
        expect(relativeError(logits, expected.get(`${name}.logits`)!)).toBeLessThan(LOGITS);
      });

      // Last, because it changes the adapter.
      it('ten steps of AdamW, warm-up and gradient limit included', async () => {
        const { losses, adapter } = await tenSteps(engine, fixture);
        expect(relativeError(losses, fixture.adamw.losses)).toBeLessThan(TEN_STEPS);
        expect(relativeError(adapter, expected.get(`${name}.adamw`)!)).toBeLessThan(TEN_STEPS);
      });
    });
  }
}

it('activations kept or computed twice: the same gradients to the last bit', async () => {
  const fixture = fixtures['tiny'];
  const sums = [];
  for (const keptBytes of [0, 5000, Infinity]) {
    const engine = await engineOf(fixture, { structure: 'blocks', weights: 'dense', keptBytes }, 'tiny');
    sums.push((await engine.gradients(toBatch(fixture.batch), { trained: 'both', l2Bound: 1 })).clippedSum);
  }
  expect(sums[1]).toEqual(sums[0]);
  expect(sums[2]).toEqual(sums[0]);
});
