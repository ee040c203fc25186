import { toBatches } from '../data/batches.js';
import type { Example } from '../data/tokenize.js';
import type { Engine, Evaluation } from './engine.js';

const EXAMPLES_PER_BATCH = 128;
const TOKENS_PER_BATCH = 8192;

/** Evaluates every example once, in batches of similar lengths: `evaluation` has its numbers in the order of `indices`. */
export async function* evaluateAll(
  engine: Pick<Engine, 'evaluate' | 'maximumLength'>,
  examples: readonly Example[],
): AsyncGenerator<{ readonly indices: readonly number[]; readonly evaluation: Evaluation }> {
  const batches = toBatches(
    examples,
    examples.map((_, index) => index),
    { maximumExamples: EXAMPLES_PER_BATCH, maximumTokens: TOKENS_PER_BATCH, maximumLength: engine.maximumLength },
  );
  for (const batch of batches) yield { indices: batch.indices, evaluation: await engine.evaluate(batch) };
}
