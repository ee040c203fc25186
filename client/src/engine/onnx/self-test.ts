/**
 * Known answers that a device has to compute before it is used.
 *
 * Two faults that we met gave right losses and wrong gradients, without an error: a kernel that ignored a transposition, and a
 * fused norm that left one of its results unwritten. Such a device would train, and poison what it contributes to.
 * There are two models, since no one has all operations: Llama's has SiLU; Gemma 2's has GELU and both caps, which are Tanh in
 * forward and its slope in backward, windows, and norms after what is added. A device is tested by the one like the model to train.
 * Source     self-test-answers.ts, made by test/fixtures/engine/make_fixtures.py with transformers and peft in f64.
 */

import { FedloraError, type Quantization, type WeightForm } from '@fedlora/shared';
import type { Batch, Engine, GradientSum, LoraConfig } from '../engine.js';
import type { Activation } from '../weights/architecture.js';
import type { BaseModel, ModelConfig } from '../weights/base-model.js';
import { parseModelConfig } from '../weights/model-config.js';
import { knownAdapter, knownModel, KnownValues } from './known-model.js';
import { geluAnswers, siluAnswers } from './self-test-answers.js';

/** Makes the engine under test for a small base model. */
export type EngineFactory = (model: {
  readonly base: BaseModel;
  readonly lora: LoraConfig;
  readonly quantization: Quantization;
  readonly weights: WeightForm;
}) => Promise<Engine>;

/** What was found, relative to what is right. */
export interface SelfTestResult {
  readonly loss: number;
  readonly norm: number;
  /** Worst of the clipped sum's tensors. */
  readonly gradient: number;
  /** How much an example's gradient, norm and loss depend on the examples beside it: the worst of the three. */
  readonly company: number;
}

/** What is known of a base model that follows from a seed. */
interface KnownAnswers {
  readonly config: object;
  readonly seed: number;
  readonly lora: LoraConfig;
  readonly batch: { readonly ids: readonly (readonly number[])[]; readonly answerMask: readonly (readonly number[])[] };
  /** By example. */
  readonly losses: readonly number[];
  readonly l2Bound: number;
  readonly norms: readonly number[];
  /** Of the clipped sum, in layout order. */
  readonly tensors: readonly TensorAnswer[];
}

const known: Readonly<Record<Activation, KnownAnswers>> = { silu: siluAnswers, gelu_pytorch_tanh: geluAnswers };

/** f32 against f64 on these models: 8e-6 measured, most of it the margin of `roundedDownBound`. The bound is that of DESIGN section 8, for devices with other roundings. */
const TOLERANCE = 1e-4;

/** Line 3 of the budget of protocol's ARITHMETIC_SLACK, for 256 records, and the f32 sum of three. */
const COMPANY_TOLERANCE = 2 ** -19 + 3 * 2 ** -24;

/** Seed of the vectors that gradients are projected on. */
const PROJECTION_SEED = 99;

const results = new Map<string, Promise<SelfTestResult>>();

/**
 * Tests a device the first time it is asked for in this process; later calls give the same result.
 *
 * @throws FedloraError engine/self-test-failed
 */
export function selfTestOnce(
  device: string,
  weights: WeightForm,
  activation: Activation,
  factory: EngineFactory,
): Promise<SelfTestResult> {
  const key = `${device} ${activation}`;
  let result = results.get(key);
  if (result === undefined) {
    result = selfTest(device, weights, activation, factory);
    results.set(key, result);
  }
  return result;
}

/**
 * Computes losses, norms and clipped sums of a small base model, and compares them with what they should be.
 *
 * NF4 is tested against f32 weights that the same codes stand for, which are tested against the stored answers.
 *
 * @throws FedloraError engine/self-test-failed, with the numbers
 */
export async function selfTest(
  device: string,
  weights: WeightForm,
  activation: Activation,
  factory: EngineFactory,
): Promise<SelfTestResult> {
  const answers = known[activation];
  const dense = await compute(answers, factory, 'none', weights === 'nf4' ? 'dense' : weights);
  let worst = compare(dense.clipped, answers.losses, answers.norms, answers.tensors, dense.sizes);
  let company = dense.company;
  if (weights === 'nf4') {
    const wanted = await compute(answers, factory, 'nf4', 'dense');
    const found = await compute(answers, factory, 'nf4', 'nf4');
    const tensors = project(wanted.clipped.clippedSum, wanted.sizes);
    const nf4 = compare(found.clipped, wanted.clipped.losses, wanted.clipped.norms!, tensors, found.sizes);
    worst = {
      loss: Math.max(worst.loss, nf4.loss),
      norm: Math.max(worst.norm, nf4.norm),
      gradient: Math.max(worst.gradient, nf4.gradient),
    };
    company = Math.max(company, found.company);
  }
  const result = { ...worst, company };
  // Negated, so that NaN fails.
  const isRight =
    result.loss < TOLERANCE && result.norm < TOLERANCE && result.gradient < TOLERANCE && company < COMPANY_TOLERANCE;
  if (!isRight) {
    const numbers = Object.entries(result).map(([name, error]) => `${name} ${error.toExponential(1)}`);
    throw new FedloraError('engine/self-test-failed', `Relative errors on ${device}: ${numbers.join(', ')}.`, {
      details: result,
    });
  }
  return result;
}

interface Computed {
  readonly clipped: GradientSum;
  readonly company: number;
  /** Lengths of the tensors in the sum. */
  readonly sizes: readonly number[];
}

async function compute(
  answers: KnownAnswers,
  factory: EngineFactory,
  quantization: Quantization,
  weights: WeightForm,
): Promise<Computed> {
  const { base, values } = knownModel(knownConfig(answers), answers.seed);
  const engine = await factory({ base, lora: answers.lora, quantization, weights });
  try {
    const { r } = answers.lora;
    engine.setAdapter(knownAdapter(values, engine.modules, r));
    const clipped = await engine.gradients(batchOf(answers.batch.ids, answers.batch.answerMask), {
      trained: 'both',
      l2Bound: answers.l2Bound,
    });
    const apart = new Float64Array(clipped.clippedSum.length);
    const numbers = { losses: [] as number[], norms: [] as number[] };
    for (const [example, ids] of answers.batch.ids.entries()) {
      const alone = await engine.gradients(batchOf([ids], [answers.batch.answerMask[example]]), {
        trained: 'both',
        l2Bound: answers.l2Bound,
      });
      alone.clippedSum.forEach((value, i) => (apart[i] += value));
      numbers.losses.push(...alone.losses);
      numbers.norms.push(...alone.norms!);
    }
    const company = Math.max(
      relativeError(clipped.clippedSum, apart),
      relativeError(clipped.losses, numbers.losses),
      relativeError(clipped.norms!, numbers.norms),
    );
    const sizes = engine.modules.flatMap(({ inFeatures, outFeatures }) => [r * inFeatures, outFeatures * r]);
    return { clipped, company, sizes };
  } finally {
    await engine.close();
  }
}

/** The config of a known model, as a config.json is read. */
function knownConfig({ config }: Pick<KnownAnswers, 'config'>): ModelConfig {
  return parseModelConfig(JSON.stringify(config));
}

/** Norm of a tensor, and its product with a known vector, which shows whether its values are in the right places. */
interface TensorAnswer {
  readonly norm: number;
  readonly projection: number;
}

function project(sum: Float32Array, sizes: readonly number[]): TensorAnswer[] {
  const directions = new KnownValues(PROJECTION_SEED);
  let begin = 0;
  return sizes.map((size) => {
    const direction = directions.values(size, 1);
    let square = 0;
    let projection = 0;
    for (let i = 0; i < size; i++) {
      square += sum[begin + i] ** 2;
      projection += sum[begin + i] * direction[i];
    }
    begin += size;
    return { norm: Math.sqrt(square), projection };
  });
}

function compare(
  found: GradientSum,
  losses: ArrayLike<number>,
  norms: ArrayLike<number>,
  tensors: readonly TensorAnswer[],
  sizes: readonly number[],
): Omit<SelfTestResult, 'company'> {
  const errors = project(found.clippedSum, sizes).flatMap(({ norm, projection }, i) => {
    const wanted = tensors[i];
    return [Math.abs(norm - wanted.norm) / wanted.norm, Math.abs(projection - wanted.projection) / wanted.norm];
  });
  return {
    loss: relativeError(found.losses, losses),
    norm: relativeError(found.norms!, norms),
    gradient: Math.max(...errors),
  };
}

function relativeError(found: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let difference = 0;
  let square = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference += (found[i] - wanted[i]) ** 2;
    square += wanted[i] ** 2;
  }
  return Math.sqrt(difference / square);
}

function batchOf(rows: readonly (readonly number[])[], masks: readonly (readonly number[])[]): Batch {
  const length = Math.max(...rows.map((row) => row.length));
  const ids = new Int32Array(rows.length * length);
  const answerMask = new Uint8Array(rows.length * length);
  rows.forEach((row, i) => ids.set(row, i * length));
  masks.forEach((mask, i) => answerMask.set(mask, i * length));
  return { examples: rows.length, length, ids, answerMask };
}
