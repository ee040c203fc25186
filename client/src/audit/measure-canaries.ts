/** What the canaries of an audit say of an adapter: pure, from losses. */

import { AUDIT_CONFIDENCE, epsilonLowerBound, type RecordPromise } from '@fedlora/protocol';
import type { CanaryRecord } from './canary-record.js';
import { exposureOf, type Exposure } from './exposure.js';
import { likelihoodRatios, separationOf, type Separation } from './membership.js';

/** Losses of the same rows, nats: of the adapter, and of models that did not learn from them. */
export interface AuditLosses {
  readonly adapter: readonly number[];
  /** At least one. */
  readonly references: readonly (readonly number[])[];
}

/** Both tests on the same rows. */
export interface MembershipTests {
  /** By the adapter's loss alone. */
  readonly loss: Separation;
  /** By how far the loss is from those of the references. */
  readonly likelihoodRatio: Separation;
}

/** `nothing-promised`: there is nothing to contradict. */
export type AuditVerdict = 'contradicted' | 'not-contradicted' | 'nothing-promised';

export interface CanaryFindings {
  readonly canaries: number;
  readonly included: number;
  readonly guesses: number;
  readonly right: number;
  readonly confidence: number;
  /** At the promise's delta; at 0 where nothing is promised. */
  readonly epsilonLowerBound: number;
  readonly verdict: AuditVerdict;
  readonly exposure: Exposure;
  readonly membership: MembershipTests;
}

/** @param promise what is promised of one record; `undefined`: nothing */
export function measureCanaries(
  { canaries, guesses }: Pick<CanaryRecord, 'canaries' | 'guesses'>,
  losses: AuditLosses,
  promise: RecordPromise | undefined,
): CanaryFindings {
  const coins = canaries.map(({ isIncluded }) => isIncluded);
  const right = rightGuesses(likelihoodRatios(losses.adapter, losses.references), coins, guesses);
  const found = { canaries: canaries.length, guesses, right };
  const bound = epsilonLowerBound(found, promise?.delta ?? 0);
  return {
    ...found,
    included: coins.filter(Boolean).length,
    confidence: AUDIT_CONFIDENCE,
    epsilonLowerBound: bound,
    verdict: promise === undefined ? 'nothing-promised' : bound > promise.epsilon ? 'contradicted' : 'not-contradicted',
    exposure: exposureOf(
      losses.adapter.filter((_, i) => coins[i]),
      losses.adapter.filter((_, i) => !coins[i]),
    ),
    membership: membershipTests(losses, coins),
  };
}

/** Both tests of rows of which `isMember` says which were learned from. */
export function membershipTests({ adapter, references }: AuditLosses, isMember: readonly boolean[]): MembershipTests {
  const separate = (scores: readonly number[]): Separation =>
    separationOf(
      scores.filter((_, i) => isMember[i]),
      scores.filter((_, i) => !isMember[i]),
    );
  return {
    loss: separate(adapter.map((loss) => -loss)),
    likelihoodRatio: separate(likelihoodRatios(adapter, references)),
  };
}

/** How many coins are guessed right: of the larger scores that they were included, of the smaller that not; half of `guesses` each. */
export function rightGuesses(scores: readonly number[], coins: readonly boolean[], guesses: number): number {
  const order = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a]);
  const most = order.slice(0, Math.ceil(guesses / 2));
  const least = order.slice(order.length - Math.floor(guesses / 2));
  return most.filter((i) => coins[i]).length + least.filter((i) => !coins[i]).length;
}
