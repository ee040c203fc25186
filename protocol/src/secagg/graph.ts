/**
 * Who shares secrets and masks with whom: everyone with everyone, or above 128 members a Harary graph. Source: SPEC §10.
 *
 * The graph is a circle on which all participants stand in an order that no one chose; each has the k / 2 nearest on either side
 * as neighbours. The order follows from 32 random bytes of every participant, committed to before any is shown, so the coordinator
 * cannot place the participants that collude with it.
 */

import { ProtocolError } from '../errors.js';
import { domains } from '../primitives/domains.js';
import { hashTagged } from '../primitives/hash.js';
import { toHex } from '../bytes/hex.js';

/** Bytes of a participant's contribution to the order of the circle. */
export const GRAPH_RANDOMNESS_BYTES = 32;

/** Most members of a session with a graph: the key list, which everyone reads, stays below a megabyte. */
export const MAXIMUM_GRAPH_COHORT = 4096;

/** Most neighbours: the delivery of a graph's shares, which has (k + 1)^2 hashes, stays below the 4 MiB of one message. */
export const MAXIMUM_NEIGHBOURS = 320;

/** Most participants of a key list that may fail to show their randomness. Each more gives the coordinator choices. */
export const MAXIMUM_SILENT = 4;

/** What the terms say about the graph. */
export interface GraphTerms {
  /** k: even. */
  readonly neighbours: number;
  /** t: shares, among those of a participant's neighbours and its own, that recover one of its secrets. */
  readonly threshold: number;
  /** Participants of the key list that may fail to show their randomness; more end the session. */
  readonly silent: number;
}

/** A participant's randomness, shown. */
export interface Revealed {
  readonly sender: number;
  readonly randomness: Uint8Array;
}

export interface Graph {
  /** U1 in increasing order. */
  readonly participants: readonly number[];
  /** Who holds shares of `participant`'s secrets, in increasing order: itself and its neighbours. So it holds theirs, too. */
  holdersOf(participant: number): readonly number[];
}

/** Everyone with everyone. */
export function completeGraph(participants: readonly number[]): Graph {
  return { participants, holdersOf: () => participants };
}

/** The commitment to a participant's randomness (SPEC §10.2). */
export function graphCommitment(sid: Uint8Array, sender: number, randomness: Uint8Array): Uint8Array {
  return hashTagged(domains.graphCommitment, sid, u16(sender), randomness);
}

/** The seed of the circle (SPEC §10.4). `cohortHash` is over the key list and all that was shown. */
export function graphSeed(sid: Uint8Array, cohortHash: Uint8Array): Uint8Array {
  return hashTagged(domains.graphSeed, sid, cohortHash);
}

/**
 * The Harary graph over participants, on the circle that the seed orders (SPEC §10.4).
 *
 * Guarantee  a pure function of its arguments: whoever saw the same lists derives the same graph. With a uniform seed, and SHA-256
 *            taken as a random oracle, every order of the circle is equally likely.
 * @throws ProtocolError secagg/cohort-too-small: fewer than k + 1 participants
 */
export function hararyGraph(seed: Uint8Array, participants: readonly number[], neighbours: number): Graph {
  if (participants.length <= neighbours) {
    throw new ProtocolError('secagg/cohort-too-small', undefined, {
      participants: participants.length,
      needed: neighbours + 1,
    });
  }
  const circle = participants
    .map((participant) => ({ participant, rank: toHex(hashTagged(domains.graphPosition, seed, u16(participant))) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .map(({ participant }) => participant);
  const places = new Map(circle.map((participant, place) => [participant, place]));
  const known = new Map<number, readonly number[]>();
  const holdersAround = (participant: number): readonly number[] => {
    const place = places.get(participant);
    if (place === undefined) throw new ProtocolError('secagg/not-in-roster', undefined, { sender: participant });
    const reach = neighbours / 2;
    const holders = Array.from(
      { length: neighbours + 1 },
      // Each place modulo the circle is one of it.
      (_, i) => circle[(place - reach + i + circle.length) % circle.length],
    );
    return holders.sort((a, b) => a - b);
  };
  return {
    participants,
    // A coordinator asks for the same ones again and again: for each dealer and each receiver.
    holdersOf: (participant) => {
      const holders = known.get(participant) ?? holdersAround(participant);
      known.set(participant, holders);
      return holders;
    },
  };
}

function u16(index: number): Uint8Array {
  return Uint8Array.of(index >> 8, index & 255);
}
