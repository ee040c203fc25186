/**
 * Rounds of a run in this process: the clients' own learning, clipping, rounding and noise, and the coordinator's own step; without
 * network, keys, masks and files, none of which changes the sum.
 */

import {
  emptyMaskedSum,
  mask,
  roundLength,
  shareStddevInSteps,
  sumMaskedInto,
  trainedFactor,
  unmask,
  type Manifest,
  type RandomSource,
  type Roster,
} from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import {
  learn,
  makePrivate,
  type BaseModel,
  type Engine,
  type RoundExample,
  type VerifiedRound,
} from '@fedlora/client';
import { applySum, firstAdapter, type TrainedState } from '@fedlora/coordinator';
import type { RunDescription } from '@fedlora/shared';

/** What a run says of a base model that is open. */
export function describeOpened({ digest, config }: BaseModel): RunDescription['base'] {
  const { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim } =
    config;
  const heads = { num_attention_heads, num_key_value_heads, head_dim };
  return { name: 'base', digest, shape: { hidden_size, intermediate_size, num_hidden_layers, ...heads } };
}

/** Members of a run that nobody enrolled. */
export function inventedRoster(members: number): Roster {
  return {
    version: 1,
    members: Array.from({ length: members }, (_, i) => ({
      name: `organisation-${i + 1}`,
      identity: i.toString(16).padStart(64, '0'),
      certificate: '0'.repeat(128),
    })),
  };
}

export interface FederatedTraining {
  readonly manifest: Manifest;
  /** Rows of each organisation. */
  readonly organisations: readonly (readonly RoundExample[])[];
  /** One for all: they take turns. Its adapter has the layout of the manifest. */
  readonly engine: Engine;
  readonly random: RandomSource;
  readonly tokensPerBatch?: number;
  readonly signal?: AbortSignal;
  readonly onRound?: (completed: number, adapter: TrainedState['adapter']) => void;
}

/** Trains all rounds of the terms and returns the last adapter. */
export async function trainFederated(training: FederatedTraining): Promise<TrainedState['adapter']> {
  const { manifest, organisations, engine, random, tokensPerBatch = 8192 } = training;
  const signal = training.signal ?? new AbortController().signal;
  let state: TrainedState = { adapter: await firstAdapter(manifest), optimizer: {} };
  for (let completedRounds = 0; completedRounds < manifest.rounds; completedRounds += 1) {
    const trained = trainedFactor(manifest, completedRounds);
    const shareStddev = shareStddevInSteps(manifest, trained);
    // Safe: learning and making private look at nothing else.
    const round = { manifest, trained, completedRounds, shareStddev } as VerifiedRound;
    const sum = emptyMaskedSum(roundLength(manifest, trained));
    for (const examples of organisations) {
      engine.setAdapter(state.adapter);
      const learned = await learn(engine, examples, round, { random, tokensPerBatch }, signal);
      sumMaskedInto(sum, mask(nodeProvider, makePrivate(learned, round, random), []).words);
    }
    const applied = applySum(unmask(nodeProvider, sum, []), organisations.length, round, state);
    if (applied === 'over-bound') throw new Error(`The sum of round ${completedRounds + 1} is over its bound.`);
    state = applied.next;
    training.onRound?.(completedRounds + 1, state.adapter);
  }
  return state.adapter;
}
