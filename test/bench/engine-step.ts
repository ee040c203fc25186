/** One training step of our engine on a random batch, as often as it is told to. Arguments: one JSON object, see `StepOptions`. */

import { createOnnxEngine, openBaseModel } from '@fedlora/client';
import { seededBatch } from './seeded-batch.js';
import { benchLora, type StepOptions } from './step-options.js';
import { answerSteps } from './stepper.js';

const MIB = 2 ** 20;

const options = JSON.parse(process.argv[2] ?? '{}') as StepOptions;
const base = await openBaseModel(options.directory);
globalThis.gc?.();
const before = process.memoryUsage().rss;
const engine = await createOnnxEngine({
  base,
  lora: benchLora,
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
