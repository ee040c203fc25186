/** A run as the API and the dashboard show it. */

import { roundLength, trainedFactor, type Manifest } from '@fedlora/protocol';
import type { RunTermsView, RunView } from '@fedlora/shared';
import type { Budget } from './budget.js';
import { nextTime } from '../schedule/planned-rounds.js';
import { isUnended, type Run } from './runs.repository.js';

export function runView(run: Run, budget: Budget, reason: string | null, now: number): RunView {
  const { manifest } = run;
  return {
    id: run.id,
    title: manifest.title,
    status: run.status,
    reason,
    createdAt: run.createdAt,
    endedAt: run.endedAt,
    plannedRounds: manifest.rounds,
    completedRounds: run.completedRounds,
    abortedRounds: run.abortedRounds,
    unit: manifest.privacy.unit,
    epsilon: budget.epsilonAfter(manifest, run.chargedRounds),
    projectedEpsilon: budget.epsilonAfter(manifest, manifest.rounds),
    delta: manifest.privacy.delta,
    l2Bound: manifest.privacy.l2Bound,
    heldOutFraction: manifest.metrics.evaluation?.fraction ?? null,
    clippingQuantile: manifest.metrics.clipping?.quantile ?? null,
    members: run.roster.members.map((member) => member.name),
    threshold: manifest.aggregation.threshold,
    baseName: manifest.base.name,
    version: run.version,
    repository: run.repository,
    bytesUpPerClient: bytesUp(manifest, run.completedRounds),
    nextRoundAt: isUnended(run) ? nextTime(run.schedule, now) : null,
  };
}

export function runTermsView({ manifest, manifestHash, manifestSignature, roster }: Run): RunTermsView {
  const members = roster.members.map(({ name, identity }) => ({ name, identity }));
  return { manifest, manifestHash, signature: manifestSignature, members };
}

/** Bytes of masked words that a participant of so many completed rounds has sent. */
export function bytesUp(manifest: Manifest, completedRounds: number): number {
  // What rounds train repeats after two of them.
  const words = (round: number): number => roundLength(manifest, trainedFactor(manifest, round));
  return 4 * (Math.ceil(completedRounds / 2) * words(0) + Math.floor(completedRounds / 2) * words(1));
}
