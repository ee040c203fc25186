/** What a run asks of the memory of a member's machine, by the plan that the client's engine makes for itself. */

import { trainedFactor, type Manifest } from '@fedlora/protocol';
import {
  expandTargetModules,
  fitPlan,
  makeEnginePlan,
  memoryKinds,
  memoryTitles,
  plannedMemory,
  type AdapterSizes,
  type BaseShape,
  type MemoryForecast,
  type MemoryPlan,
  type MemoryUse,
  type EnginePlan,
} from '@fedlora/shared';

/** In every block before attention and before the feed-forward layer; and one before the head. */
const NORMS_OF_BLOCK = 2;

/**
 * Memory of the engine `onnx` with its base held as NF4, as it is by default: for the plan that it takes where there is enough, and for
 * the one that it falls back to where there is not.
 *
 * Guarantee  the client's own formula, for rows as long as the run allows. Of Gemma's and Qwen's further norms and biases, which are
 *            small, it knows nothing.
 * Edge cases no vocab_size -> embedding, head and logits are not counted, and `countsVocabulary` says so | no tie_word_embeddings ->
 *            embedding and head are two tables
 */
export function memoryForecast(shape: BaseShape, manifest: Manifest): MemoryForecast {
  const { hidden_size, num_attention_heads, num_hidden_layers, vocab_size, tie_word_embeddings } = shape;
  const config = {
    ...shape,
    head_dim: shape.head_dim ?? hidden_size / num_attention_heads,
    vocab_size: vocab_size ?? 0,
    tie_word_embeddings: tie_word_embeddings ?? false,
    normValues: (NORMS_OF_BLOCK * num_hidden_layers + 1) * hidden_size,
  };
  const adapter = adapterSizes(manifest);
  const plan = makeEnginePlan(config, {}, 'nf4');
  const use = memoryUse(manifest, plan);
  const memoryOf = (candidate: EnginePlan): MemoryPlan => plannedMemory(config, adapter, candidate, use);
  const usual = memoryOf(plan);
  return {
    totalBytes: usual.totalBytes,
    leastBytes: fitPlan(memoryOf, plan, 0).memory.totalBytes,
    parts: memoryKinds
      .filter((kind) => usual.bytes[kind] > 0)
      .map((kind) => ({ kind, title: memoryTitles[kind], bytes: usual.bytes[kind] })),
    countsVocabulary: vocab_size != null,
    rowTokens: use.length,
  };
}

function adapterSizes({ adapter: { r, targetModules } }: Manifest): AdapterSizes {
  const expanded = expandTargetModules(targetModules);
  // Safe: `planRun` has refused others.
  return { r, adapted: 'names' in expanded ? expanded.names : [] };
}

/** What a round asks of the engine: as many rows at a time as the plan computes, each as long as the run allows. */
function memoryUse(manifest: Manifest, { rows }: EnginePlan): MemoryUse {
  const { data, training } = manifest;
  const length = data.maximumLength;
  return {
    examples: Math.max(1, Math.floor(rows / length)),
    length,
    trained: trainedFactor(manifest, 0),
    hasHalfTables: true,
    ...optimizerUse(training),
  };
}

function optimizerUse(training: Manifest['training']): Pick<MemoryUse, 'perExample' | 'optim'> {
  switch (training.kind) {
    case 'record-step':
      return { perExample: true };
    case 'local-record-steps':
      return { perExample: true, optim: training.optimizer };
    case 'local-steps':
      return { perExample: false, optim: 'adamw' };
    default:
      return training satisfies never;
  }
}
