/** One training step of our engine on a random batch, as often as it is told to. Arguments: one JSON object, see `StepOptions`. */

import { createOnnxEngine, openBaseModel, type Plan } from '@fedlora/client';
import { seededBatch } from './seeded-batch.js';
import { answerSteps } from './stepper.js';

export interface StepOptions {
  readonly directory: string;
  readonly examples: number;
  readonly length: number;
  readonly threads: number;
  /** Clip each example's gradient, as private training does. */
  readonly clip: boolean;
  readonly plan?: Partial<Plan>;
}

const MIB = 2 ** 20;

const options = JSON.parse(process.argv[2] ?? '{}') as StepOptions;
const base = await openBaseModel(options.directory);
globalThis.gc?.();
const before = process.memoryUsage().rss;
const engine = await createOnnxEngine({
  base,
  lora: { r: 8, lora_alpha: 16, use_rslora: false, target_modules: ['all-linear'] },
  quantization: 'nf4',
  threads: options.threads,
  ...(options.plan === undefined ? {} : { plan: options.plan }),
});
globalThis.gc?.();
const residentMiB = (process.memoryUsage().rss - before) / MIB;
engine.setAdapter({
  modules: engine.modules.map(({ inFeatures, outFeatures }, i) => ({
    A: wave(engine.lora.r * inFeatures, i),
    B: wave(outFeatures * engine.lora.r, i + 1),
  })),
});
const batch = seededBatch(options.examples, options.length, engine.vocabularySize);
await answerSteps({ residentMiB }, () =>
  engine.gradients(batch, { trained: 'both', l2Bound: options.clip ? 1 : null }),
);
await engine.close();

/** Values of the size that adapters have; which ones does not matter. */
function wave(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => 0.02 * Math.sin(i * 12.9898 + seed * 78.233));
}
