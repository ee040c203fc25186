/** What an adapter makes of rows, one by one: all that an audit looks at. */

import { FedloraError } from '@fedlora/shared';
import type { Example } from '../data/tokenize.js';
import type { Engine } from '../engine/engine.js';
import { evaluateAll } from '../engine/evaluate-all.js';

/** The mean loss over each example's answer, nats, in the order of the examples. @throws FedloraError engine/diverged */
export async function lossesOf(engine: Engine, examples: readonly Example[]): Promise<readonly number[]> {
  const losses = new Array<number>(examples.length).fill(NaN);
  for await (const { indices, evaluation } of evaluateAll(engine, examples))
    indices.forEach((index, i) => (losses[index] = evaluation.losses[i]));
  if (!losses.every(Number.isFinite)) throw new FedloraError('engine/diverged', 'The loss of a row is not finite.');
  return losses;
}
