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
import { MAXIMUM_GRAPH_COHORT, MAXIMUM_NEIGHBOURS, MAXIMUM_SILENT, type GraphTerms } from './graph.js';

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
  /** Fewest contributions that any sum may have which becomes readable: m. */
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
  if (terms.graph !== undefined) checkGraphTerms({ ...terms, members }, terms.graph);
}

/** The numbers of a session's terms that the rules for a graph depend on. */
export interface CohortBounds {
  /** Organisations of the roster. */
  readonly members: number;
  readonly threshold: number;
  readonly minContributors: number;
  readonly assumedColluders: number;
}

/**
 * The rules for a graph that do not depend on who turns up.
 *
 * @throws ProtocolError manifest/invalid: names the field
 */
export function checkGraphTerms(bounds: CohortBounds, graph: GraphTerms): void {
  const refuse = (field: string, why: string): never => {
    throw new ProtocolError('manifest/invalid', `${field}: ${why}`, { field });
  };
  const whole = (name: keyof GraphTerms, least: number, most: number): void => {
    const value = graph[name];
    if (!Number.isInteger(value) || value < least || value > most) {
      refuse(`aggregation.graph.${name}`, `must be a whole number from ${least} to ${most}, is ${value}.`);
    }
  };
  if (bounds.members <= MAXIMUM_COHORT) {
    refuse('aggregation.graph', `is for more than ${MAXIMUM_COHORT} members; leave it out for ${bounds.members}.`);
  }
  whole('neighbours', 2, Math.min(leastRemaining(bounds) - 1, MAXIMUM_NEIGHBOURS));
  if (graph.neighbours % 2 !== 0) refuse('aggregation.graph.neighbours', `must be even, is ${graph.neighbours}.`);
  whole('threshold', 2, graph.neighbours);
  whole('silent', 0, MAXIMUM_SILENT);
  if (bounds.minContributors > leastPiece(bounds, graph)) {
    refuse(
      'privacy.minimumContributors',
      `must be at most ${graph.threshold}: ${bounds.members - leastRemaining(bounds)} dropouts could cut this graph.`,
    );
  }
}

/**
 * Whether a coordinator that chooses who drops out could cut the circle (SPEC §10.6.1): without any k - 1 participants a Harary graph
 * is still connected. Missing at most are those whom no phase needs, and the colluders, whose masks the coordinator knows.
 *
 * Source     Harary 1962, "The maximum connectivity of a graph": the graph's connectivity is k
 */
export function canBeCut(bounds: CohortBounds, graph: Pick<GraphTerms, 'neighbours'>): boolean {
  return bounds.members - leastRemaining(bounds) + bounds.assumedColluders >= graph.neighbours;
}

/**
 * Fewest participants of a sum that may become readable, colluders among them: what `minContributors`, and with it each share of
 * the noise, has to be right for.
 *
 * Source     SPEC §10.6.2, §10.7
 *
 * A piece that was cut off and is unmasked holds an honest participant and at least t' holders of its secrets, itself among them;
 * those of them that are honest survivors are in its piece, as holders are neighbours.
 */
export function leastPiece(bounds: CohortBounds, graph: GraphTerms | undefined): number {
  return graph !== undefined && canBeCut(bounds, graph) ? graph.threshold : leastRemaining(bounds);
}

/**
 * Checks that a graph protects whoever turns up: every cohort from the fewest that may finish to the whole roster.
 *
 * @throws ProtocolError manifest/invalid
 */
export function checkGraphStrength(bounds: CohortBounds, graph: GraphTerms): void {
  for (let participants = leastRemaining(bounds); participants <= bounds.members; participants++) {
    if (isStrong(bounds, graph, participants)) continue;
    throw new ProtocolError(
      'manifest/invalid',
      `aggregation.graph: ${graph.neighbours} neighbours with a threshold of ${graph.threshold} do not protect a cohort of ${participants}.`,
      { field: 'aggregation.graph' },
    );
  }
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
  if (terms.graph !== undefined && !isStrong(terms, terms.graph, participants)) {
    const { neighbours, threshold } = terms.graph;
    throw new ProtocolError(
      'secagg/threshold-too-low',
      `A graph of ${neighbours} neighbours and threshold ${threshold} does not protect ${participants} participants.`,
      { participants, neighbours, threshold },
    );
  }
}

/**
 * Whether the graph protects so many participants: SPEC §10.5.
 *
 * Guarantee  but for a chance of 2^-40 over the circle, even after the coordinator chose the best of the circles that leaving out
 *            silent participants gives it: nobody has t' hostile neighbours, and honest survivors of a coordinator that does not
 *            choose dropouts by the graph stay connected.
 */
function isStrong(bounds: Omit<CohortBounds, 'members'>, graph: GraphTerms, participants: number): boolean {
  const setting = {
    participants,
    colluders: Math.min(bounds.assumedColluders, participants),
    dropouts: participants - leastRemaining(bounds),
    lists: 'consistent',
  } as const;
  const securityBits = GRAPH_ASSURANCE.securityBits + choiceBits(participants, graph.silent);
  return participants > graph.neighbours && isGraphPrivate(setting, graph, securityBits);
}

/** Checks that enough participants are left. @throws ProtocolError secagg/cohort-too-small */
export function checkRemaining(terms: SecaggTerms, participants: number): void {
  const needed = leastRemaining(terms);
  if (participants < needed) throw new ProtocolError('secagg/cohort-too-small', undefined, { participants, needed });
}

/** Fewest participants that every phase needs: the threshold, or the least number of contributors if that is more. */
export function leastRemaining(terms: Pick<CohortBounds, 'threshold' | 'minContributors'>): number {
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
