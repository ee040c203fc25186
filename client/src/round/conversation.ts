/**
 * One round as a conversation: the coordinator asks phase by phase, this client answers, and the same question gets the same bytes.
 *
 * The daemon puts in what arrives (`receive`, `end`); the story in `contribute.ts` takes out questions (`asked`) and gives answers
 * (`answer`). A different question in a phase that has one is refused, whether or not it was answered yet.
 */

import { createHash } from 'node:crypto';
import { ProtocolError } from '@fedlora/protocol';
import { FedloraError, phasesOfRound, type RequestPhase, type RoundOutcome, type RoundRequest } from '@fedlora/shared';

export interface ConversationParts {
  /** Sends an answer; delivery is not certain, since the coordinator asks again after every loss. */
  readonly send: (phase: RequestPhase, message: Uint8Array) => void;
  /** Longer than the coordinator's own deadlines: for its restarts. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 10 * 60_000;

/** Node.js takes a longer timer for one of a millisecond. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Question {
  readonly hash: string;
  readonly message: Uint8Array;
  answer?: Uint8Array;
}

export class Conversation {
  private readonly questions = new Map<RequestPhase, Question>();
  private readonly ending = new AbortController();
  private outcome: RoundOutcome | undefined;
  private wake: (() => void) | undefined;
  private requestedMs = 0;
  private mostMs = Infinity;
  private phases = phasesOfRound(false);

  constructor(
    readonly roundId: string,
    private readonly parts: ConversationParts,
  ) {}

  /** Aborted when the round is over for this client, with the reason. Long work looks at it. */
  get signal(): AbortSignal {
    return this.ending.signal;
  }

  /**
   * Takes in a request. Answers at once what was answered before.
   *
   * @throws ProtocolError secagg/wrong-phase: another question in a phase that has one
   * @throws FedloraError round/out-of-order: a phase before its turn, or that this round has not | offer/malformed
   */
  receive(request: RoundRequest): void {
    const message = contentOf(request);
    const hash = createHash('sha256').update(message).digest('hex');
    const known = this.questions.get(request.phase);
    if (known !== undefined) {
      if (known.hash !== hash) {
        throw new ProtocolError('secagg/wrong-phase', 'The coordinator asked something else in the same phase.', {
          phase: request.phase,
        });
      }
      if (known.answer !== undefined) this.parts.send(request.phase, known.answer);
      return;
    }
    const place = this.phases.indexOf(request.phase);
    if (place < 0 || (place > 0 && this.questions.get(this.phases[place - 1])?.answer === undefined)) {
      throw new FedloraError('round/out-of-order', undefined, { details: { phase: request.phase } });
    }
    this.questions.set(request.phase, { hash, message });
    // By the difference of the coordinator's two times: its clock need not agree with ours.
    this.requestedMs = Math.max(0, request.deadlineAt - request.sentAt);
    this.wake?.();
  }

  /**
   * Holds the coordinator to the signed terms: these phases in this order, and whatever deadlines the requests name, none longer than
   * the terms' longest. Called before the first answer, so that nothing but the offer was asked under other rules.
   */
  follow(phases: readonly RequestPhase[], mostMs: number): void {
    this.phases = phases;
    this.mostMs = mostMs;
  }

  /** Waits for the coordinator's question in a phase. @throws what ended the round */
  async asked(phase: RequestPhase): Promise<Uint8Array> {
    for (;;) {
      this.signal.throwIfAborted();
      const question = this.questions.get(phase);
      if (question !== undefined) return question.message;
      await this.change();
    }
  }

  /** Answers the question of a phase, once. */
  answer(phase: RequestPhase, message: Uint8Array): void {
    this.signal.throwIfAborted();
    const question = this.questions.get(phase);
    if (question === undefined || question.answer !== undefined) throw new FedloraError('internal/unexpected');
    question.answer = message;
    this.parts.send(phase, message);
  }

  /** Waits for the end of the round. */
  async ended(): Promise<RoundOutcome> {
    while (this.outcome === undefined) {
      this.signal.throwIfAborted();
      await this.change();
    }
    return this.outcome;
  }

  /** The coordinator says that the round is over. */
  end(outcome: RoundOutcome): void {
    this.outcome ??= outcome;
    if (outcome.kind === 'aborted')
      this.abort(new FedloraError('round/aborted', `The coordinator ended the round: ${outcome.cause}.`));
    this.wake?.();
  }

  /** Leaves the round. */
  abort(reason: FedloraError): void {
    if (!this.signal.aborted) this.ending.abort(reason);
    this.wake?.();
  }

  /** Whether an answer to `phase` was given. */
  hasAnswered(phase: RequestPhase): boolean {
    return this.questions.get(phase)?.answer !== undefined;
  }

  private async change(): Promise<void> {
    await new Promise<void>((resolve) => {
      const patienceMs = this.parts.patienceMs ?? PATIENCE_MS;
      const deadlineMs = Math.min(Math.min(this.requestedMs, this.mostMs) + patienceMs, LONGEST_TIMER_MS);
      const timer = setTimeout(() => this.abort(new FedloraError('round/deadline-passed')), deadlineMs);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}

/** What a request asks: the offer's text, or the one message of the phase. */
function contentOf(request: RoundRequest): Uint8Array {
  if (request.phase === 'advertising') {
    if (request.offer === undefined) throw new FedloraError('offer/malformed', 'The offer is missing.');
    return Buffer.from(JSON.stringify(request.offer));
  }
  const [message, ...others] = request.messages ?? [];
  if (!(message instanceof Uint8Array) || others.length > 0) {
    throw new FedloraError('round/out-of-order', 'A request does not hold one message.', {
      details: { phase: request.phase },
    });
  }
  return message;
}
