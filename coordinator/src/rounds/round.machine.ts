/**
 * A round as a pure function: `transition(state, event) -> { state, effects }`. Drawn in README.md of this folder.
 *
 * The service stores an event, then performs the effects; replaying the stored events gives the state back after a crash. Time
 * enters as a field of events. What messages say was checked before (`round.service.ts`): here it only matters who answered.
 *
 * Legend     participant = index in the roster
 *            out         = declined or dropped: nothing more is expected of it in this round
 */

import {
  phasesOfRound,
  requestPhases,
  type ParticipantView,
  type RequestPhase,
  type RoundPhase,
} from '@fedlora/shared';

export interface ParticipantState {
  readonly index: number;
  readonly name: string;
  /** The last phase it answered, or why it is out. */
  readonly status: ParticipantView['status'];
  readonly reason: string | null;
}

/** The terms that the machine needs. */
export interface RoundTerms {
  /** Participants that every phase needs: t. */
  readonly threshold: number;
  /** Fewest contributions a sum may have: m. */
  readonly minimumContributors: number;
  readonly deadlinesMs: Readonly<Record<Exclude<RequestPhase, 'revealing'>, number>> & { readonly revealing?: number };
  /** With a graph only: participants that may send keys and then not show their randomness. */
  readonly silent?: number;
}

export interface RoundState {
  readonly phase: RoundPhase;
  readonly terms: RoundTerms;
  readonly participants: readonly ParticipantState[];
  /**
   * Who answered each phase, in the order of arrival. What a finished phase holds never changes: the survivors of `training` stay
   * the survivors, even if one of them goes away later.
   */
  readonly answered: Readonly<Record<RequestPhase, readonly number[]>>;
  readonly startedAt: number;
  readonly phaseStartedAt: number;
  /** `null` where the coordinator waits for nobody. */
  readonly deadlineAt: number | null;
  readonly phaseDurationsMs: Readonly<Record<string, number>>;
  readonly endedAt: number | null;
  /** Whether the sum was, or may have been, revealed: such a round is charged to the run's epsilon, however it ends. */
  readonly isCharged: boolean;
  /** Why it ended as it did. */
  readonly cause: string | null;
  readonly version: string | null;
}

export type RoundEvent =
  /** The run's terms and the organisations that are there: the first event of every round. */
  | {
      readonly kind: 'round.started';
      readonly at: number;
      readonly terms: RoundTerms;
      readonly participants: readonly { readonly index: number; readonly name: string }[];
    }
  /** A checked answer is stored. For `training`: the receipt and the whole contribution. */
  | {
      readonly kind: 'answer.received';
      readonly at: number;
      readonly participant: number;
      readonly phase: RequestPhase;
    }
  /** The client says that it does not go on, with a code: its owner's policy, or no memory of the round after a restart. */
  | { readonly kind: 'participant.declined'; readonly at: number; readonly participant: number; readonly code: string }
  /** Its answer was refused in a way that no second try can mend. */
  | { readonly kind: 'participant.refused'; readonly at: number; readonly participant: number; readonly code: string }
  /** The phase's time is over. Late news of an earlier phase's deadline is ignored. */
  | { readonly kind: 'deadline.passed'; readonly at: number; readonly phase: RequestPhase }
  /** The coordinator is back after a restart: time that it was away is not counted against anyone. */
  | { readonly kind: 'coordinator.resumed'; readonly at: number }
  /** The new adapter version is on disk. */
  | { readonly kind: 'sum.applied'; readonly at: number; readonly version: string }
  /** The sum could not be had or used, or the operator stopped the run. */
  | { readonly kind: 'round.failed'; readonly at: number; readonly cause: string };

export type RoundEffect =
  /** Send the phase's request; it is sent again to whoever says hello. */
  | { readonly kind: 'request'; readonly phase: RequestPhase; readonly to: readonly number[] }
  | { readonly kind: 'arm-deadline'; readonly phase: RequestPhase; readonly at: number }
  /** Unmask the sum and make the next adapter version of it. */
  | { readonly kind: 'conclude' }
  /** Tell everybody, scrub what is stored of the round, and let the run go on. */
  | { readonly kind: 'end' };

export interface Transition {
  readonly state: RoundState;
  readonly effects: readonly RoundEffect[];
}

/** After a restart every phase gets at least this long, since clients need to find back. */
export const LEAST_AFTER_RESUME_MS = 20_000;

const answeredStatus: Readonly<Record<RequestPhase, ParticipantState['status']>> = {
  advertising: 'advertised',
  revealing: 'revealed',
  sharing: 'shared',
  training: 'uploaded',
  checking: 'checked',
  unmasking: 'unmasked',
};

/** The state before `round.started`. */
export const recruiting: RoundState = {
  phase: 'recruiting',
  terms: {
    threshold: 0,
    minimumContributors: 0,
    deadlinesMs: { advertising: 0, sharing: 0, training: 0, checking: 0, unmasking: 0 },
  },
  participants: [],
  answered: { advertising: [], revealing: [], sharing: [], training: [], checking: [], unmasking: [] },
  startedAt: 0,
  phaseStartedAt: 0,
  deadlineAt: null,
  phaseDurationsMs: {},
  endedAt: null,
  isCharged: false,
  cause: null,
  version: null,
};

/** What an event makes of a round. An event that does not fit the state changes nothing. */
export function transition(state: RoundState, event: RoundEvent): Transition {
  switch (event.kind) {
    case 'round.started':
      return state.phase === 'recruiting' ? start(state, event) : unchanged(state);
    case 'answer.received':
      return state.phase === event.phase && isExpected(state, event.participant)
        ? settle(withAnswer(state, event.participant, event.phase), event.at)
        : unchanged(state);
    case 'participant.declined':
      return isIn(state, event.participant)
        ? settle(leave(state, event.participant, 'declined', event.code), event.at)
        : unchanged(state);
    case 'participant.refused':
      return isIn(state, event.participant)
        ? settle(leave(state, event.participant, 'dropped', event.code), event.at)
        : unchanged(state);
    case 'deadline.passed':
      return state.phase === event.phase ? settle(dropSilent(state), event.at) : unchanged(state);
    case 'coordinator.resumed':
      return resume(state, event.at);
    case 'sum.applied':
      return state.phase === 'applying'
        ? end({ ...state, version: event.version }, 'done', null, event.at)
        : unchanged(state);
    case 'round.failed':
      return isOver(state) ? unchanged(state) : end(state, 'aborted', event.cause, event.at);
    default:
      return event satisfies never;
  }
}

/** Whether the phase is one in which the coordinator waits for participants. */
export function isRequestPhase(phase: RoundPhase): phase is RequestPhase {
  return (requestPhases as readonly string[]).includes(phase);
}

/** Whether the round has ended. */
export function isOver(state: RoundState): boolean {
  return state.phase === 'done' || state.phase === 'aborted';
}

/** Whether a participant is in the round and not out. */
export function isIn(state: RoundState, participant: number): boolean {
  const found = state.participants.find((one) => one.index === participant);
  return !isOver(state) && found !== undefined && !isOut(found);
}

/** Who the present phase waits for or has heard from: everyone who is not out. */
export function asked(state: RoundState): readonly number[] {
  return isRequestPhase(state.phase) ? state.participants.filter((one) => !isOut(one)).map((one) => one.index) : [];
}

function start(state: RoundState, event: Extract<RoundEvent, { kind: 'round.started' }>): Transition {
  const participants = event.participants.map((one): ParticipantState => ({ ...one, status: 'waiting', reason: null }));
  return enter(
    { ...state, terms: event.terms, participants, startedAt: event.at, phaseStartedAt: event.at },
    'advertising',
    event.at,
  );
}

/** Goes on if the phase has all its answers, aborts if it can never have enough, else keeps waiting. */
function settle(state: RoundState, at: number): Transition {
  const phase = state.phase;
  // Applying waits for nobody, so who leaves then changes nothing.
  if (!isRequestPhase(phase)) return unchanged(state);
  const active = state.participants.filter((one) => !isOut(one));
  const answered = new Set(state.answered[phase]);
  const missing = active.filter((one) => !answered.has(one.index));
  // Whoever left after its contribution arrived is still in the sum, but will not answer the phases after.
  const reachable = answered.size + missing.length;
  const needed = needs(state, phase);
  // Nobody is asked anything after the last phase, so there it does not matter how many are still in.
  const isLast = phaseAfter(state.terms, phase) === 'applying';
  if (reachable < needed || (!isLast && active.length < state.terms.threshold))
    return end(state, 'aborted', tooFew(state, phase), at);
  if (missing.length > 0) return unchanged(state);
  const next = phaseAfter(state.terms, phase);
  if (next === 'applying') {
    return {
      state: { ...finishPhase(state, at), phase: 'applying', deadlineAt: null },
      effects: [{ kind: 'conclude' }],
    };
  }
  return enter(finishPhase(state, at), next, at);
}

/**
 * Answers that a phase needs. Before the survivors are fixed the sum must stay large enough; after, only secrets must be recovered.
 * Nearly all who sent keys must show their randomness: whoever could be left out would be a choice over the graph (SPEC §10.3).
 */
function needs({ terms, answered }: RoundState, phase: RequestPhase): number {
  if (phase === 'checking' || phase === 'unmasking') return terms.threshold;
  const least = Math.max(terms.threshold, terms.minimumContributors);
  return phase === 'revealing' ? Math.max(least, answered.advertising.length - (terms.silent ?? 0)) : least;
}

/** The phases of a round under these terms, in which it waits for participants. */
export function phasesUnder(terms: RoundTerms): readonly RequestPhase[] {
  return phasesOfRound(terms.silent !== undefined);
}

function phaseAfter(terms: RoundTerms, phase: RequestPhase): RequestPhase | 'applying' {
  const phases = phasesUnder(terms);
  return phases[phases.indexOf(phase) + 1] ?? 'applying';
}

function enter(state: RoundState, phase: RequestPhase, at: number): Transition {
  const deadlineAt = at + durationOf(state.terms, phase);
  const isCharged = state.isCharged || phase === 'unmasking';
  const entered: RoundState = { ...state, phase, phaseStartedAt: at, deadlineAt, isCharged };
  return {
    state: entered,
    effects: [
      { kind: 'request', phase, to: asked(entered) },
      { kind: 'arm-deadline', phase, at: deadlineAt },
    ],
  };
}

/** How long a phase may last. Terms of a round that has `revealing` name a time for it, which `checkManifest` demands. */
function durationOf({ deadlinesMs }: RoundTerms, phase: RequestPhase): number {
  return deadlinesMs[phase] ?? deadlinesMs.advertising;
}

function finishPhase(state: RoundState, at: number): RoundState {
  return {
    ...state,
    phaseStartedAt: at,
    phaseDurationsMs: { ...state.phaseDurationsMs, [state.phase]: at - state.phaseStartedAt },
  };
}

function end(state: RoundState, phase: 'done' | 'aborted', cause: string | null, at: number): Transition {
  return {
    state: { ...finishPhase(state, at), phase, cause, endedAt: at, deadlineAt: null },
    effects: [{ kind: 'end' }],
  };
}

function resume(state: RoundState, at: number): Transition {
  if (state.phase === 'applying') return { state, effects: [{ kind: 'conclude' }] };
  if (isOver(state)) return { state, effects: [{ kind: 'end' }] };
  if (!isRequestPhase(state.phase)) return unchanged(state);
  const deadlineAt = Math.max(
    state.deadlineAt ?? 0,
    at + Math.min(durationOf(state.terms, state.phase), LEAST_AFTER_RESUME_MS),
  );
  return {
    state: { ...state, deadlineAt },
    effects: [
      { kind: 'request', phase: state.phase, to: asked(state) },
      { kind: 'arm-deadline', phase: state.phase, at: deadlineAt },
    ],
  };
}

function withAnswer(state: RoundState, participant: number, phase: RequestPhase): RoundState {
  return {
    ...replaceParticipant(state, participant, { status: answeredStatus[phase], reason: null }),
    answered: { ...state.answered, [phase]: [...state.answered[phase], participant] },
  };
}

/** Takes a participant out. Keys and shares of the present phase go with it; a stored contribution still counts. */
function leave(state: RoundState, participant: number, status: 'declined' | 'dropped', reason: string): RoundState {
  const left = replaceParticipant(state, participant, { status, reason });
  if (state.phase !== 'advertising' && state.phase !== 'revealing' && state.phase !== 'sharing') return left;
  const remaining = state.answered[state.phase].filter((one) => one !== participant);
  return { ...left, answered: { ...state.answered, [state.phase]: remaining } };
}

function dropSilent(state: RoundState): RoundState {
  const phase = state.phase;
  if (!isRequestPhase(phase)) return state;
  const answered = new Set(state.answered[phase]);
  return {
    ...state,
    participants: state.participants.map((one) =>
      isOut(one) || answered.has(one.index)
        ? one
        : { ...one, status: 'dropped', reason: `no answer within the time for ${phase}` },
    ),
  };
}

function replaceParticipant(
  state: RoundState,
  participant: number,
  change: Pick<ParticipantState, 'status' | 'reason'>,
): RoundState {
  return {
    ...state,
    participants: state.participants.map((one) => (one.index === participant ? { ...one, ...change } : one)),
  };
}

function isExpected(state: RoundState, participant: number): boolean {
  return isIn(state, participant) && isRequestPhase(state.phase) && !state.answered[state.phase].includes(participant);
}

function isOut(participant: ParticipantState): boolean {
  return participant.status === 'declined' || participant.status === 'dropped';
}

/** The written cause of an abort: the phase, the numbers, and each absent participant with its reason. */
function tooFew(state: RoundState, phase: RequestPhase): string {
  const needed = needs(state, phase);
  const absent = state.participants
    .filter(isOut)
    .map((one) => `${one.name} (${one.status}: ${one.reason ?? 'no reason'})`);
  const left = state.participants.length - absent.length;
  return `Too few participants in phase ${phase}: ${left} left of ${state.participants.length}, ${needed} needed. Missing: ${absent.join(', ')}.`;
}

function unchanged(state: RoundState): Transition {
  return { state, effects: [] };
}
