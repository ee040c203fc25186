/** Answers of participants, many at a time: which of them are good, and what they mean for their round. */

import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeMaskedInput, equalBytes } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import type { ContributionStore } from '../storage/contribution-store.js';
import type { OpenRound, WaitingAnswer } from './open-round.js';
import { isIn, isOver, transition, type RoundEvent, type RoundState } from './round.machine.js';
import type { FreshMessage } from './round-messages.js';

/** What checking found. Nothing of it is stored yet. */
export interface CheckedAnswers {
  readonly good: readonly WaitingAnswer[];
  readonly refused: readonly { readonly answer: WaitingAnswer; readonly error: unknown }[];
  readonly fresh: readonly FreshMessage[];
  readonly events: readonly RoundEvent[];
  /** Not looked at, since one before them ended the phase: they are checked against what follows from it. */
  readonly rest: readonly WaitingAnswer[];
}

export interface AnswerParts {
  readonly contributions: ContributionStore;
  readonly now: () => number;
}

/** After so long at a stretch checking lets go for a moment, so that sockets and other requests are not kept waiting. */
const LONGEST_STRETCH_MS = 10;

/**
 * Checks answers in their order, each against the state that those before it lead to. The same bytes again are good.
 *
 * Refuses    round/over, round/not-a-participant, round/wrong-phase, round/already-answered, round/impersonation, upload/wrong-hash;
 *            with a ProtocolError what breaks the protocol
 */
export async function checkTogether(
  round: OpenRound,
  answers: readonly WaitingAnswer[],
  parts: AnswerParts,
): Promise<CheckedAnswers> {
  const good: WaitingAnswer[] = [];
  const refused: { answer: WaitingAnswer; error: unknown }[] = [];
  const fresh: FreshMessage[] = [];
  const events: RoundEvent[] = [];
  let state = round.state;
  let looked = 0;
  let since = performance.now();
  while (looked < answers.length && state.phase === round.state.phase) {
    const answer = answers[looked];
    looked += 1;
    try {
      const participant = round.indexOf(answer.name);
      if (expectAnswerable(round, state, participant, answer)) fresh.push({ participant, ...answer });
      const event = await eventOf(round, state, participant, answer, parts);
      if (event !== undefined) {
        events.push(event);
        state = transition(state, event).state;
        expectCounted(event);
      }
      good.push(answer);
    } catch (error) {
      refused.push({ answer, error });
    }
    if (performance.now() - since > LONGEST_STRETCH_MS) {
      await nextTurn();
      since = performance.now();
    }
  }
  return { good, refused, fresh, events, rest: answers.slice(looked) };
}

/**
 * What a contribution means for its round: it counts when its receipt and all its bytes are there and agree. `undefined` before that.
 * One that can never count is removed.
 */
export async function eventOfContribution(
  round: OpenRound,
  state: RoundState,
  participant: number,
  receipt: Uint8Array | undefined,
  { contributions, now }: AnswerParts,
): Promise<RoundEvent | undefined> {
  const isOpen = state.phase === 'training' && !state.answered.training.includes(participant);
  if (receipt === undefined || !isOpen) return undefined;
  // Its last bytes may not be flushed yet: the upload asks again when they are.
  if (contributions.isReceiving(round.id, participant)) return undefined;
  if ((await contributions.size(round.id, participant)) !== round.contributionBytes) return undefined;
  const at = now();
  if (equalBytes(await contributions.hash(round.id, participant), decodeMaskedInput(receipt).wordsHash)) {
    return { kind: 'answer.received', at, participant, phase: 'training' };
  }
  await contributions.remove(round.id, participant);
  return { kind: 'participant.refused', at, participant, code: 'upload/wrong-hash' };
}

/** @throws FedloraError upload/wrong-hash: the event is that the contribution can never count */
export function expectCounted(event: RoundEvent | undefined): void {
  if (event?.kind === 'participant.refused') throw new FedloraError('upload/wrong-hash');
}

async function eventOf(
  round: OpenRound,
  state: RoundState,
  participant: number,
  { phase, message }: WaitingAnswer,
  parts: AnswerParts,
): Promise<RoundEvent | undefined> {
  if (phase === 'training') return eventOfContribution(round, state, participant, message, parts);
  const isKnown = round.messages.has(phase, participant);
  return isKnown ? undefined : { kind: 'answer.received', at: parts.now(), participant, phase };
}

/** Whether an answer is new; `false` if the same bytes are stored. @throws FedloraError | ProtocolError: why it is refused */
function expectAnswerable(
  round: OpenRound,
  state: RoundState,
  participant: number,
  { phase, message }: WaitingAnswer,
): boolean {
  const stored = round.messages.get(phase, participant);
  if (stored !== undefined) {
    if (equalBytes(stored, message)) return false;
    throw new FedloraError('round/already-answered', undefined, {
      details: { stored: hashOf(stored), refused: hashOf(message) },
    });
  }
  if (isOver(state)) throw new FedloraError('round/over');
  if (!isIn(state, participant)) throw new FedloraError('round/not-a-participant');
  if (state.phase !== phase) throw new FedloraError('round/wrong-phase', `The round is in phase ${state.phase}.`);
  round.check(phase, participant, message);
  return true;
}

function hashOf(message: Uint8Array): string {
  return createHash('sha256').update(message).digest('hex');
}
