/**
 * The terms of one secure aggregation and its session id. Source: SPEC §4; Bonawitz et al. 2017, Figure 4, "Setup".
 *
 * The session id goes into every key, signature and commitment of a round, so a message of one round, base adapter or manifest
 * means nothing in another.
 */

import { equalBytes } from '../bytes/equal.js';
import { toHex } from '../bytes/hex.js';
import { utf8 } from '../bytes/utf8.js';
import { Writer } from '../bytes/writer.js';
import { ProtocolError } from '../errors.js';
import { domains } from '../primitives/domains.js';
import { HASH_BYTES, hashTagged } from '../primitives/hash.js';
import { PUBLIC_KEY_BYTES } from '../primitives/provider.js';
import { choiceBits, GRAPH_ASSURANCE, isGraphPrivate } from './graph-parameters.js';
import { MAXIMUM_GRAPH_COHORT, MAXIMUM_SILENT, type GraphTerms } from './graph.js';

/** Most members of a session without a graph: each participant agrees on keys with every other. */
export const MAXIMUM_COHORT = 128;

/** Most words of a masked vector: 4 GiB of keystream, far below the 2^32 blocks at which a counter could be trusted less. */
export const MAXIMUM_LENGTH = 2 ** 30;

/** Previous session id of the first round of a run. */
export const FIRST_PREVIOUS_SID: Uint8Array = new Uint8Array(HASH_BYTES);

export interface SecaggMember {
  /** Position in the roster, from 0; on the wire a u16. */
  readonly index: number;
  /** Ed25519 public key from the pinned roster. */
  readonly identity: Uint8Array;
}

/** What everyone must agree on before a session starts. Public. */
export interface SecaggTerms {
  /** 32 bytes, from `sessionId`. */
  readonly sid: Uint8Array;
  /** Participants that every phase needs, and without a graph the shares that recover a secret: t. */
  readonly threshold: number;
  /** Fewest contributions a sum may have. */
  readonly minContributors: number;
  /** Participants that may collude with the coordinator: c. */
  readonly assumedColluders: number;
  /** Every organisation that may take part, in roster order: `members[i].index === i`. */
  readonly members: readonly SecaggMember[];
  /** Words of the vector: d. */
  readonly length: number;
  /** Above `MAXIMUM_COHORT` members: who shares secrets with whom. Absent below: everyone with everyone. */
  readonly graph?: GraphTerms;
}

/** What a session id is made of. Hashes are 32 bytes. */
export interface SessionOrigin {
  readonly manifestHash: Uint8Array;
  readonly rosterHash: Uint8Array;
  readonly runId: string;
  readonly round: number;
  /** Id of the adapter version that this round starts from. */
  readonly baseVersion: string;
  /** Session id of the round before; `FIRST_PREVIOUS_SID` at the first. */
  readonly previousSid: Uint8Array;
}

/**
 * The session id: a hash over everything that a round depends on (SPEC §4).
 *
 * Guarantee  two participants who were offered anything different derive different ids, and so refuse each other's messages.
 */
export function sessionId(origin: SessionOrigin): Uint8Array {
  for (const hash of [origin.manifestHash, origin.rosterHash, origin.previousSid]) {
    if (hash.length !== HASH_BYTES)
      throw new ProtocolError('manifest/invalid', 'A hash in the session id has not 32 bytes.');
  }
  return hashTagged(
    domains.session,
    origin.manifestHash,
    origin.rosterHash,
    utf8(origin.runId),
    new Writer().u32(origin.round).finish(),
    utf8(origin.baseVersion),
    origin.previousSid,
  );
}

/**
 * Checks what of the terms can be checked before anyone has answered.
 *
 * @throws ProtocolError manifest/invalid | roster/invalid
 */
export function checkTerms(terms: SecaggTerms): void {
  const whole = (name: string, value: number, least: number, most: number): void => {
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new ProtocolError(
        'manifest/invalid',
        `${name} must be a whole number from ${least} to ${most}, is ${value}.`,
      );
    }
  };
  const members = terms.members.length;
  const most = terms.graph === undefined ? MAXIMUM_COHORT : MAXIMUM_GRAPH_COHORT;
  if (members < 2 || members > most) {
    throw new ProtocolError('roster/invalid', `Secure aggregation takes 2 to ${most} members, not ${members}.`);
  }
  const identities = new Set<string>();
  terms.members.forEach((member, position) => {
    if (member.index !== position)
      throw new ProtocolError('roster/invalid', `The member at ${position} has another index.`);
    if (member.identity.length !== PUBLIC_KEY_BYTES) {
      throw new ProtocolError('roster/invalid', `The identity of member ${position} has not 32 bytes.`);
    }
    identities.add(toHex(member.identity));
  });
  if (identities.size !== members) throw new ProtocolError('roster/invalid', 'Two members have the same identity.');
  if (terms.sid.length !== HASH_BYTES) throw new ProtocolError('manifest/invalid', 'The session id has not 32 bytes.');
  whole('threshold', terms.threshold, 2, members);
  whole('minContributors', terms.minContributors, 2, members);
  whole('assumedColluders', terms.assumedColluders, 0, members - 1);
  whole('length', terms.length, 1, MAXIMUM_LENGTH);
  if (terms.graph !== undefined) checkGraphTerms(terms, terms.graph, whole);
}

/**
 * The rules for a graph that do not depend on who turns up.
 *
 * The last one: a coordinator that lies about who dropped out can cut the circle, and then learns the sum over each piece. A piece
 * that is unmasked holds a participant and at least t of its neighbours, itself among those who hold its shares.
 */
function checkGraphTerms(
  terms: SecaggTerms,
  graph: GraphTerms,
  whole: (name: string, value: number, least: number, most: number) => void,
): void {
  if (terms.members.length <= MAXIMUM_COHORT) {
    throw new ProtocolError(
      'manifest/invalid',
      `graph: is for more than ${MAXIMUM_COHORT} members; leave it out for ${terms.members.length}.`,
    );
  }
  whole('graph.neighbours', graph.neighbours, 2, terms.members.length - 1);
  if (graph.neighbours % 2 !== 0) {
    throw new ProtocolError('manifest/invalid', `graph.neighbours must be even, is ${graph.neighbours}.`);
  }
  whole('graph.threshold', graph.threshold, 2, graph.neighbours);
  whole('graph.silent', graph.silent, 0, MAXIMUM_SILENT);
  whole('minContributors with this graph', terms.minContributors, 2, graph.threshold);
}

/** Shares that recover one secret: t of all, or with a graph t of the dealer's neighbours and itself. */
export function shareThreshold(terms: SecaggTerms): number {
  return terms.graph?.threshold ?? terms.threshold;
}

/**
 * Checks the participants who advertised keys (U1): enough of them, and few enough for the threshold.
 *
 * Guarantee  2 t > n + c. An honest participant gives about each other one kind of share, and signs one survivor list. To learn
 *            both kinds, or to get two lists signed, a coordinator with c colluders needs 2 t answers from n - c honest
 *            participants, who give one each, and c others, who give two: n + c at most, fewer than 2 t.
 * @throws ProtocolError secagg/threshold-too-low | secagg/cohort-too-small
 */
export function checkCohort(terms: SecaggTerms, participants: number): void {
  if (2 * terms.threshold <= participants + terms.assumedColluders) {
    throw new ProtocolError('secagg/threshold-too-low', undefined, {
      threshold: terms.threshold,
      participants,
      assumedColluders: terms.assumedColluders,
    });
  }
  checkRemaining(terms, participants);
  if (terms.graph !== undefined) checkGraph(terms, terms.graph, participants);
}

/**
 * Checks that the graph protects so many participants: SPEC §10.5.
 *
 * Guarantee  but for a chance of 2^-40 over the circle, even after the coordinator chose the best of the circles that leaving out
 *            silent participants gives it: nobody has t hostile neighbours, and honest survivors of a coordinator that does not
 *            choose dropouts by the graph stay connected.
 * @throws ProtocolError secagg/threshold-too-low: too few neighbours or too low a threshold for this cohort
 */
function checkGraph(terms: SecaggTerms, graph: GraphTerms, participants: number): void {
  const setting = {
    participants,
    colluders: Math.min(terms.assumedColluders, participants),
    dropouts: participants - leastRemaining(terms),
    lists: 'consistent',
  } as const;
  const securityBits = GRAPH_ASSURANCE.securityBits + choiceBits(participants, graph.silent);
  if (participants <= graph.neighbours || !isGraphPrivate(setting, graph, securityBits)) {
    throw new ProtocolError(
      'secagg/threshold-too-low',
      `A graph of ${graph.neighbours} neighbours and threshold ${graph.threshold} does not protect ${participants} participants.`,
      { participants, neighbours: graph.neighbours, threshold: graph.threshold },
    );
  }
}

/** Checks that enough participants are left. @throws ProtocolError secagg/cohort-too-small */
export function checkRemaining(terms: SecaggTerms, participants: number): void {
  const needed = leastRemaining(terms);
  if (participants < needed) throw new ProtocolError('secagg/cohort-too-small', undefined, { participants, needed });
}

/** Fewest participants that every phase needs: the threshold, or the least number of contributors if that is more. */
export function leastRemaining(terms: SecaggTerms): number {
  return Math.max(terms.threshold, terms.minContributors);
}

/** The roster identity behind an index. @throws ProtocolError secagg/not-in-roster */
export function identityOf(terms: SecaggTerms, index: number): Uint8Array {
  const member = terms.members[index];
  if (member === undefined) throw new ProtocolError('secagg/not-in-roster', undefined, { sender: index });
  return member.identity;
}

/** Refuses a message of another session. @throws ProtocolError secagg/wrong-session */
export function expectSession(terms: SecaggTerms, sid: Uint8Array): void {
  if (!equalBytes(terms.sid, sid)) throw new ProtocolError('secagg/wrong-session');
}
