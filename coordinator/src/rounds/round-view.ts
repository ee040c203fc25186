/** A round as the API and the dashboard show it. */

import type { RoundView } from '@fedlora/shared';
import { phasesUnder, type RoundState } from './round.machine.js';
import type { RoundRecord } from './rounds.repository.js';

/** How far the contributions of an open round are. */
export interface Uploads {
  readonly bytesEach: number;
  readonly receivedOf: (participant: number) => number;
}

/** `uploads`: `null` for a round that has ended, of which nothing is kept. */
export function roundView(record: RoundRecord, state: RoundState, uploads: Uploads | null): RoundView {
  return {
    id: record.id,
    runId: record.runId,
    number: record.number,
    phase: state.phase,
    phases: ['recruiting', ...phasesUnder(state.terms), 'applying'],
    cause: state.cause,
    startedAt: record.startedAt,
    scheduledFor: record.scheduledFor,
    endedAt: state.endedAt,
    deadlineAt: state.deadlineAt,
    phaseDurationsMs: state.phaseDurationsMs,
    participants: state.participants.map(({ index, name, status, reason }) => ({
      name,
      status,
      reason,
      receivedBytes: uploads?.receivedOf(index) ?? null,
    })),
    contributionBytes: uploads?.bytesEach ?? null,
    baseVersion: record.baseVersion,
    version: state.version,
    meanLoss: record.meanLoss,
    epsilon: record.epsilon,
    noiseToSignal: record.noiseToSignal,
    fractionWithin: record.fractionWithin,
    suggestedL2Bound: record.suggestedL2Bound,
    heldOutLoss: record.heldOutLoss,
    heldOutAccuracy: record.heldOutAccuracy,
  };
}
