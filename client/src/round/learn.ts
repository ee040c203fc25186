/**
 * Learning in a round: what is computed from rows, in the way that the terms of the run name.
 *
 * Legend     d = trained parameters + metrics
 */

import type { ClippedUpdate, RandomSource, ReleasedUpdate } from '@fedlora/protocol';
import type { Engine } from '../engine/engine.js';
import { localRecordSteps } from './local-record-steps.js';
import { localSteps } from './local-steps.js';
import { recordStep } from './record-step.js';
import type { RoundExample } from './round-example.js';
import { Scratch } from './scratch.js';
import type { VerifiedRound } from './verify-offer.js';

export interface LearnParts {
  readonly random: RandomSource;
  readonly tokensPerBatch: number;
}

/**
 * The update of a round: clipped, with its noise still to come, or released by steps that had all of it. [d] f64
 *
 * Secrets    whatever was computed on the way is overwritten, also if learning fails; the caller overwrites the result.
 */
export async function learn(
  engine: Engine,
  examples: readonly RoundExample[],
  round: VerifiedRound,
  parts: LearnParts,
  signal: AbortSignal,
): Promise<ClippedUpdate | ReleasedUpdate> {
  const { training } = round.manifest;
  const scratch = new Scratch();
  try {
    switch (training.kind) {
      case 'record-step':
        return await recordStep(engine, examples, round, training, parts, signal, scratch);
      case 'local-steps':
        return await localSteps(engine, examples, round, training, parts, signal, scratch);
      case 'local-record-steps':
        return await localRecordSteps(engine, examples, round, training, parts, signal, scratch);
      default:
        return training satisfies never;
    }
  } finally {
    scratch.wipe();
  }
}
