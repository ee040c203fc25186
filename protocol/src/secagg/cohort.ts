/**
 * From the lists that everyone saw to the graph that everyone derives: checks and derivation, the same for participants and
 * coordinator. Source: SPEC §10.
 */

import { equalBytes } from '../bytes/equal.js';
import { ProtocolError } from '../errors.js';
import type { CryptoProvider } from '../primitives/provider.js';
import { completeGraph, graphCommitment, graphSeed, hararyGraph, type Graph } from './graph.js';
import {
  decodeKeyList,
  decodeRevealList,
  expectSignature,
  graphCohortHash,
  keyListHash,
  revealRandomnessToSign,
  type KeyList,
  type RevealRandomness,
} from './messages.js';
import { checkCohort, expectSession, identityOf, type SecaggTerms } from './session.js';

/** The participants of a session and who holds whose shares. */
export interface Cohort {
  readonly list: KeyList;
  /** What signatures and the survivors hash name: the hash of the key list, or with a graph of both lists. */
  readonly hash: Uint8Array;
  readonly graph: Graph;
}

/**
 * The cohort that follows from the key list and, with a graph, the reveal list. Nothing in them is checked here.
 *
 * @throws ProtocolError secagg/wrong-phase: the terms have a graph and there is no reveal list yet
 */
export function readCohort(terms: SecaggTerms, keyList: Uint8Array, revealList: Uint8Array | undefined): Cohort {
  const list = decodeKeyList(keyList);
  if (terms.graph === undefined) {
    return { list, hash: keyListHash(keyList), graph: completeGraph(list.keys.map((keys) => keys.sender)) };
  }
  if (revealList === undefined) {
    throw new ProtocolError('secagg/wrong-phase', 'The graph is not known before randomness was shown.');
  }
  const hash = graphCohortHash(keyList, revealList);
  const participants = decodeRevealList(revealList).revealed.map(({ sender }) => sender);
  return { list, hash, graph: hararyGraph(graphSeed(terms.sid, hash), participants, terms.graph.neighbours) };
}

/** A key list as randomness is checked against it. */
export interface CommittedList {
  readonly hash: Uint8Array;
  readonly commitments: ReadonlyMap<number, Uint8Array>;
}

/** Reads the commitments of a key list. */
export function committedList(keyList: Uint8Array): CommittedList {
  const commitments = new Map<number, Uint8Array>();
  for (const { sender, graphCommitment: commitment } of decodeKeyList(keyList).keys) {
    if (commitment !== undefined) commitments.set(sender, commitment);
  }
  return { hash: keyListHash(keyList), commitments };
}

/**
 * Checks randomness that one participant shows.
 *
 * Guarantee  the sender is in the key list, signed for exactly this list, and committed to this value before it saw any other.
 * @throws ProtocolError secagg/wrong-session | secagg/not-in-roster | secagg/key-lists-differ | secagg/wrong-reveal |
 *         crypto/bad-signature
 */
export function checkReveal(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  keyList: CommittedList,
  message: RevealRandomness,
): void {
  const { sender } = message;
  expectSession(terms, message.sid);
  const commitment = keyList.commitments.get(sender);
  if (commitment === undefined) {
    throw new ProtocolError('secagg/not-in-roster', `Participant ${sender} was not in the phase before.`, { sender });
  }
  if (!equalBytes(message.keyListHash, keyList.hash)) {
    throw new ProtocolError('secagg/key-lists-differ', undefined, { sender });
  }
  expectSignature(crypto, sender, message.signature, revealRandomnessToSign(message), identityOf(terms, sender));
  if (!equalBytes(graphCommitment(terms.sid, sender, message.randomness), commitment)) {
    throw new ProtocolError('secagg/wrong-reveal', undefined, { sender });
  }
}

/**
 * Checks a whole reveal list against the key list.
 *
 * @throws ProtocolError as `checkReveal` | secagg/threshold-too-low
 * @throws ProtocolError secagg/cohort-too-small: more than `silent` participants of the key list are missing
 */
export function checkRevealList(
  crypto: CryptoProvider,
  terms: SecaggTerms,
  keyList: Uint8Array,
  revealList: Uint8Array,
): void {
  const list = committedList(keyList);
  const { sid, revealed } = decodeRevealList(revealList);
  expectSession(terms, sid);
  checkSilent(terms, list.commitments.size, revealed.length);
  checkCohort(terms, revealed.length);
  for (const shown of revealed) checkReveal(crypto, terms, list, { sid, keyListHash: list.hash, ...shown });
}

/**
 * Checks that nearly everyone showed its randomness: whoever may be left out is a choice that the coordinator has over the graph.
 *
 * @throws ProtocolError secagg/cohort-too-small
 */
export function checkSilent(terms: SecaggTerms, listed: number, shown: number): void {
  const needed = leastReveals(terms, listed);
  if (shown < needed) {
    throw new ProtocolError('secagg/cohort-too-small', 'Too many participants did not show their randomness.', {
      participants: shown,
      needed,
    });
  }
}

/** Fewest participants of a key list that must show their randomness. */
export function leastReveals(terms: SecaggTerms, listed: number): number {
  return listed - (terms.graph?.silent ?? 0);
}
