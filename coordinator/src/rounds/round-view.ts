/** A round as the API and the dashboard show it. */

import type { RoundView } from '@fedlora/shared';
import { phasesUnder, type RoundState } from './round.machine.js';
import type { RoundRecord } from './rounds.repository.js';

export function roundView(record: RoundRecord, state: RoundState): RoundView {
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
    participants: state.participants.map(({ name, status, reason }) => ({ name, status, reason })),
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
