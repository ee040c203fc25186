/**
 * The base model that a study starts from, after it has learned what anyone may know, without noise.
 *
 * Differentially private training starts from a base that was pretrained on public data of the same kind. The demo's base model knows
 * the language of 1611; so it first learns the task on public rows, and is then the base of every method alike. The adapter is merged
 * into the weights as `fedlora adapter merge-into-base` does it.
 */

import { access, rm } from 'node:fs/promises';
import {
  createOnnxEngine,
  mergeIntoBase,
  openBaseModel,
  trainLocally,
  writeAdapter,
  type Example,
} from '@fedlora/client';
import { linearLayers } from '@fedlora/shared';
import { seededRandom } from '@fedlora/protocol/node';
import { TRAINING_ALONE } from './training-alone.js';

export interface WarmStart {
  readonly steps: number;
  readonly batchSize: number;
}

export interface WarmBaseTask {
  /** Folder of the base model that nobody has warmed. */
  readonly folder: string;
  /** Public rows. */
  readonly examples: readonly Example[];
  readonly warmStart: WarmStart;
  /** Folder of the result, which is there whole or not at all; of one that is there, nothing is computed. */
  readonly target: string;
  readonly onProgress: (share: number) => void;
}

const LORA = { r: 16, lora_alpha: 32, use_rslora: false, target_modules: linearLayers.map(([name]) => name) };
const LEARNING_RATE = 0.004;

/** Makes it. The same for every seed of a study: what differs between seeds is the organisations' rows, and chance. */
export async function makeWarmBase({ folder, examples, warmStart, target, onProgress }: WarmBaseTask): Promise<void> {
  const isThere = await access(target).then(
    () => true,
    () => false,
  );
  if (isThere) return;
  const { steps, batchSize } = warmStart;
  const base = await openBaseModel(folder);
  const engine = await createOnnxEngine({ base, lora: LORA, quantization: 'none' });
  const adapter = `${target}-adapter`;
  try {
    await trainLocally(engine, examples, {
      ...TRAINING_ALONE,
      steps,
      batchSize,
      learningRate: LEARNING_RATE,
      random: seededRandom('study/warm'),
      onStep: ({ step }) => onProgress(step / steps),
    });
    await writeAdapter(adapter, engine, folder);
    await mergeIntoBase({ folder: adapter, base: folder, card: '# The base model of a study\n', target });
  } finally {
    await engine.close();
    await rm(adapter, { recursive: true, force: true });
  }
}
