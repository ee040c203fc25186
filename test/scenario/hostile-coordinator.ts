/** A coordinator that keeps everything it gets, and what must hold of it whatever it tried: see `nothingRevealed`. */

import { expect } from 'vitest';
import { wipe, type Secret } from '../../protocol/src/bytes/secret.js';
import type { ProtocolErrorCode } from '../../protocol/src/errors.js';
import { nodeProvider } from '../../protocol/src/node/index.js';
import { wordsToBytes } from '../../protocol/src/secagg/masks.js';
import { decodeUnmaskShares } from '../../protocol/src/secagg/messages.js';
import { secretsIn, type ParticipantState } from '../../protocol/src/secagg/participant.js';
import { shareThreshold } from '../../protocol/src/secagg/session.js';
import {
  aCohort,
  answer,
  collect,
  dealInGraph,
  plainSum,
  prove,
  recover,
  refusal,
  unmaskedSum,
  upload,
  type Cohort,
  type CohortOptions,
  type Member,
} from './secagg-cohort.js';
import { remembering } from '../support/remembering.js';

/** The keys and seeds that a member made for itself. Randomness for the graph is not among them: it is shown to all. */
function ownSecrets(state: ParticipantState): readonly Secret[] {
  switch (state.phase) {
    case 'advertised':
    case 'revealed':
      return [state.encryptionSecret, state.maskSecret];
    case 'shared':
      return secretsIn(state);
    case 'ready':
      return [state.selfSeed, ...state.pairSeeds.filter((seed) => seed !== undefined)];
    default:
      return [];
  }
}

/** Which of these strings of hex, of 8 digits or more, occur in the messages at any byte. */
function found(wanted: readonly string[], messages: readonly Uint8Array[]): string[] {
  const byStart = new Map<number, string[]>();
  for (const text of wanted) {
    const start = parseInt(text.slice(0, 8), 16);
    byStart.set(start, [...(byStart.get(start) ?? []), text]);
  }
  return messages.flatMap((message) => {
    const bytes = Buffer.from(message);
    const hits: string[] = [];
    for (let at = 0; at + 4 <= bytes.length; at++) {
      for (const text of byStart.get(bytes.readUInt32BE(at)) ?? []) {
        if (bytes.toString('hex', at, at + text.length / 2) === text) hits.push(text);
      }
    }
    return hits;
  });
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

export class HostileCoordinator {
  /** Every message and every word that it was sent. */
  private readonly received: Uint8Array[] = [];
  /** Of these the answers to unmasking requests, also those that no honest coordinator would accept. */
  private readonly answers: Uint8Array[] = [];
  /** Hex of every key and seed that a member held at some time; shares of them not counted. */
  private readonly secrets = new Set<string>();

  constructor(readonly cohort: Cohort) {
    this.hear(...cohort.advertised);
  }

  /** Keeps messages, words included, and notes what members hold at this moment. */
  hear(...messages: readonly Uint8Array[]): void {
    this.received.push(...messages);
    for (const { state } of this.cohort.members) {
      for (const secret of ownSecrets(state)) if (!secret.isWiped) this.secrets.add(hex(secret.reveal()));
    }
  }

  hearWords(members: readonly Member[]): void {
    this.hear(...members.flatMap(({ masked }) => (masked === undefined ? [] : [wordsToBytes(masked.words)])));
  }

  hearAnswers(...answers: readonly Uint8Array[]): void {
    this.answers.push(...answers);
    this.received.push(...answers);
  }

  /** The code with which a member refuses; it leaves the round and wipes what it holds, as a client does. */
  stops(member: Member, act: () => unknown): ProtocolErrorCode {
    const code = refusal(act);
    wipe(secretsIn(member.state));
    return code;
  }

  /**
   * What must hold of everything that was stored and received: no key, no seed and no update of a member is in it, and the shares
   * that were given away recover at most what `recovers` says: nothing, or one secret of each, which uncovers the sum.
   */
  nothingRevealed(recovers: 'nothing' | 'the sum'): void {
    this.hear();
    expect(this.secrets.size).toBeGreaterThan(0);
    const updates = this.cohort.members.map(({ levels }) => wordsToBytes(new Uint32Array(levels.subarray(0, 8))));
    expect(found([...this.secrets, ...updates.map(hex)], this.received)).toEqual([]);
    const holders = new Map<string, Set<number>>();
    for (const bytes of this.answers) {
      const { sender, entries } = decodeUnmaskShares(bytes);
      for (const { about, kind } of entries) {
        if (kind === 'unusable') continue;
        const name = `${about} ${kind}`;
        holders.set(name, (holders.get(name) ?? new Set()).add(sender));
      }
    }
    const enough = (about: number, kind: string): boolean =>
      (holders.get(`${about} ${kind}`)?.size ?? 0) >= shareThreshold(this.cohort.terms);
    for (const { index } of this.cohort.members) {
      const recovered = ['self-mask', 'mask-key'].filter((kind) => enough(index, kind)).length;
      expect(recovered).toBeLessThanOrEqual(recovers === 'nothing' ? 0 : 1);
    }
  }
}

const GRAPH: CohortOptions = {
  participants: 140,
  threshold: 100,
  minContributors: 20,
  assumedColluders: 3,
  // The terms of SPEC §10.5 hold for 3 colluders, 100 to 140 participants and one silent.
  graph: { neighbours: 40, threshold: 20, silent: 1 },
};

const remembered = remembering(nodeProvider);

/** Five members on the complete graph, of whom four unmask and one may collude. */
export function fewMembers(options: Partial<CohortOptions> = {}): Cohort {
  return aCohort({ participants: 5, threshold: 4, ...options });
}

/** 140 members on a graph. */
export function manyMembers(options: Partial<CohortOptions> = {}): Cohort {
  return aCohort({ ...GRAPH, crypto: remembered, ...options });
}

/** The next round of 140, once it was run: a round keeps nothing of the one before but its id, so it is the same after any attack. */
let nextOfMany: { readonly arrived: Int32Array; readonly expected: Int32Array } | undefined;

/** The round after an attack, in which everyone is honest: the same members arrive at the sum of their updates. */
export function nextRoundWorks({ terms }: Cohort): void {
  const isGraph = terms.graph !== undefined;
  const next =
    (isGraph ? nextOfMany : undefined) ?? honestRound((isGraph ? manyMembers : fewMembers)({ round: 2 }), terms);
  if (isGraph) nextOfMany = next;
  expect(next.arrived).toEqual(next.expected);
}

function honestRound(cohort: Cohort, before: Cohort['terms']): NonNullable<typeof nextOfMany> {
  expect(cohort.terms.members).toEqual(before.members);
  expect(cohort.terms.sid).not.toEqual(before.sid);
  const everyone = cohort.members.map(({ index }) => index);
  const collected = before.graph === undefined ? collect(cohort) : upload(cohort, dealInGraph(cohort));
  const plan = recover(cohort, collected, answer(cohort, prove(cohort, collected), everyone));
  expect(plan.refused).toEqual([]);
  return { arrived: unmaskedSum(cohort, collected, plan), expected: plainSum(cohort) };
}
