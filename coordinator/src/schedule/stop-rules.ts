/** When a run has had enough: the rules of its schedule, and which of them holds. */

import type { NoProgressRule, StopRules } from '@fedlora/shared';
import { metricOf } from './schedule-terms.js';

/** What a round measured on held-out rows, of the version it began with. */
export interface Measurement {
  /** The round's number. */
  readonly round: number;
  readonly loss: number | null;
  readonly accuracy: number | null;
}

export interface Progress {
  readonly completedRounds: number;
  /** Oldest first. */
  readonly measurements: readonly Measurement[];
  /** After one round more; `null` where no promise is made. */
  readonly nextEpsilon: number | null;
}

/** Which rule ends the run, and why, in words for people; `undefined` if it goes on. */
export function ruleThatStops(stop: StopRules | undefined, progress: Progress): string | undefined {
  if (stop === undefined) return undefined;
  const because = [
    roundsDone(stop, progress),
    targetReached(stop, progress),
    budgetSpent(stop, progress),
    stop.noProgress === undefined ? undefined : noProgress(stop.noProgress, progress),
  ].find((reason) => reason !== undefined);
  return because === undefined ? undefined : `Stop rule ${because}`;
}

/** Whether a rule looks at what rounds measured. */
export function needsMeasurements(stop: StopRules | undefined): boolean {
  return stop?.heldOutLoss !== undefined || stop?.heldOutAccuracy !== undefined || stop?.noProgress !== undefined;
}

function roundsDone({ rounds }: StopRules, { completedRounds }: Progress): string | undefined {
  return rounds !== undefined && completedRounds >= rounds
    ? `"rounds": ${completedRounds} rounds are done, of ${rounds}.`
    : undefined;
}

function targetReached({ heldOutLoss, heldOutAccuracy }: StopRules, { measurements }: Progress): string | undefined {
  const last = measurements.at(-1);
  if (last === undefined) return undefined;
  if (heldOutLoss !== undefined && last.loss !== null && last.loss <= heldOutLoss)
    return `"heldOutLoss": round ${last.round} measured ${short(last.loss)}, and ${short(heldOutLoss)} was the target.`;
  if (heldOutAccuracy !== undefined && last.accuracy !== null && last.accuracy >= heldOutAccuracy)
    return `"heldOutAccuracy": round ${last.round} measured ${short(last.accuracy)}, and ${short(heldOutAccuracy)} was the target.`;
  return undefined;
}

function budgetSpent({ epsilon }: StopRules, { nextEpsilon }: Progress): string | undefined {
  return epsilon !== undefined && nextEpsilon !== null && nextEpsilon > epsilon
    ? `"epsilon": one round more would bring it to ${short(nextEpsilon)}, over the budget of ${short(epsilon)}.`
    : undefined;
}

function noProgress(rule: NoProgressRule, { measurements }: Progress): string | undefined {
  const metric = metricOf(rule);
  const values = measurements.flatMap((one) => one[metric] ?? []);
  const before = values.slice(0, -rule.rounds);
  if (before.length === 0) return undefined;
  const bestOf = (some: readonly number[]): number =>
    some.reduce((best, value) => (metric === 'loss' ? Math.min(best, value) : Math.max(best, value)));
  const [best, lately] = [bestOf(before), bestOf(values.slice(-rule.rounds))];
  const gain = metric === 'loss' ? best - lately : lately - best;
  return gain < rule.by
    ? `"noProgress": the best held-out ${metric} of the last ${rule.rounds} measurements is ${short(lately)}, and ${short(best)} before; ${short(rule.by)} would have been progress.`
    : undefined;
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}
