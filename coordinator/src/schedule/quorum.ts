/** Whether enough organisations are ready for a round, and whether more are worth a wait. */

import type { QuorumRule } from '@fedlora/shared';

export interface Attendance {
  /** Fewest that a round can do with. */
  readonly needed: number;
  readonly ready: number;
  readonly absent: readonly string[];
  /** Those who are offered no rounds, with the word for why: nobody waits for them. */
  readonly out: ReadonlyMap<string, string>;
  /** Those of the absent who were here a moment ago. */
  readonly justLeft: readonly string[];
  /** Since when there have been enough; `undefined` if there were not at the last look. */
  readonly enoughSince: number | undefined;
}

export type QuorumDecision =
  | { readonly kind: 'start' }
  /** `isEnough`: the round could start, and waits for more. */
  | { readonly kind: 'wait'; readonly why: string; readonly isEnough: boolean; readonly forMs?: number };

/** With a quorum but not everyone: how long to wait for those who were here a moment ago. */
const GRACE_MS = 3000;

export function quorumOf(
  { needed, ready, absent, out, justLeft, enoughSince }: Attendance,
  rule: QuorumRule | undefined,
  now: number,
): QuorumDecision {
  const beyond = rule?.beyondThreshold ?? 0;
  const wanted = needed + beyond;
  if (ready < wanted) {
    const number = beyond === 0 ? `${needed} needed` : `${wanted} wanted (${needed} needed, ${beyond} beyond)`;
    const who = absent.map((name) => (out.has(name) ? `${name} (${out.get(name)})` : name)).join(', ');
    const why = `Waits for organisations: ${ready} of ${number} are ready. Not ready: ${who}.`;
    return { kind: 'wait', why, isEnough: false };
  }
  const awaited = (rule?.waitSeconds === undefined ? justLeft : absent).filter((name) => !out.has(name));
  const patience = rule?.waitSeconds === undefined ? GRACE_MS : 1000 * rule.waitSeconds;
  // A clock that was set back does not lengthen the wait.
  const left = Math.min(patience, (enoughSince ?? now) + patience - now);
  if (awaited.length === 0 || left <= 0) return { kind: 'start' };
  const moment = rule?.waitSeconds === undefined ? 'a moment' : `up to ${Math.ceil(left / 1000)} s more`;
  return { kind: 'wait', why: `Waits ${moment} for ${awaited.join(', ')}.`, isEnough: true, forMs: left };
}
