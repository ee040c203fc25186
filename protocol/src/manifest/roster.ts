/**
 * The roster: the organisations of a run with their identity keys, each certified by the federation key. Source: SPEC §14.
 *
 * The federation key is kept offline by the operator and pinned by every client at enrolment. A coordinator can leave members
 * out, but can add nobody: a member without a certificate under the pinned key makes the whole roster invalid.
 */

import { canonicalJson } from '../bytes/canonical-json.js';
import { fromHex, toHex } from '../bytes/hex.js';
import { utf8 } from '../bytes/utf8.js';
import { ProtocolError } from '../errors.js';
import { sha256 } from '../primitives/hash.js';
import type { CryptoProvider } from '../primitives/provider.js';
import { domains } from '../primitives/domains.js';
import { MAXIMUM_GRAPH_COHORT } from '../secagg/graph.js';

export interface RosterMember {
  /** Short name chosen at enrolment, unique in the federation: lower-case letters, digits and hyphens. */
  readonly name: string;
  /** Ed25519 public key, 64 hex digits. */
  readonly identity: string;
  /** The federation key's signature over name and identity, 128 hex digits. */
  readonly certificate: string;
}

export interface Roster {
  readonly version: 1;
  /** In order of participant index. */
  readonly members: readonly RosterMember[];
}

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
const KEY = /^[0-9a-f]{64}$/;
const SIGNATURE = /^[0-9a-f]{128}$/;

/** Whether `name` may be a member's name. */
export function isMemberName(name: string): boolean {
  return NAME.test(name);
}

/** The bytes that the federation key signs to certify a member. */
export function certificateMessage(name: string, identity: string): Uint8Array {
  return canonicalJson({ domain: domains.memberCertificate, name, identity });
}

/** Certifies a member with the federation's secret seed. Returns the signature as hex. */
export function certifyMember(
  crypto: CryptoProvider,
  federationSeed: Uint8Array,
  member: { name: string; identity: string },
): string {
  if (!isMemberName(member.name))
    throw new ProtocolError('roster/invalid', `"${member.name}" cannot be a member's name.`);
  if (!KEY.test(member.identity)) throw new ProtocolError('roster/invalid', 'The identity is not 64 hex digits.');
  return toHex(crypto.ed25519.sign(federationSeed, certificateMessage(member.name, member.identity)));
}

/** Whether a certificate is the federation key's for this member. */
export function isCertified(crypto: CryptoProvider, federationKey: string, member: RosterMember): boolean {
  const { identity, certificate } = member;
  // A list of one text would pass the patterns, too.
  if (typeof identity !== 'string' || typeof certificate !== 'string') return false;
  if (!KEY.test(federationKey) || !KEY.test(identity) || !SIGNATURE.test(certificate)) return false;
  return crypto.ed25519.verify(
    fromHex(member.certificate),
    certificateMessage(member.name, member.identity),
    fromHex(federationKey),
  );
}

/**
 * Checks a roster against the pinned federation key.
 *
 * Guarantee  names and identities are unique, well-formed and each is certified.
 * @throws ProtocolError roster/invalid: names the first member that fails
 */
export function checkRoster(crypto: CryptoProvider, federationKey: string, roster: Roster): void {
  if (roster?.version !== 1) throw new ProtocolError('roster/invalid', 'The roster has an unknown version.');
  const listed: unknown = roster.members;
  if (!Array.isArray(listed)) throw new ProtocolError('roster/invalid', 'The roster has no list of members.');
  if (roster.members.length === 0 || roster.members.length > MAXIMUM_GRAPH_COHORT) {
    throw new ProtocolError('roster/invalid', `A roster has 1 to ${MAXIMUM_GRAPH_COHORT} members.`);
  }
  const seen = new Set<string>();
  for (const member of roster.members) {
    if (typeof member?.name !== 'string' || !isMemberName(member.name))
      throw new ProtocolError('roster/invalid', 'A member has no valid name.');
    if (seen.has(member.name) || seen.has(member.identity)) {
      throw new ProtocolError('roster/invalid', `The roster names "${member.name}" or its key twice.`);
    }
    seen.add(member.name).add(member.identity);
    if (!isCertified(crypto, federationKey, member)) {
      throw new ProtocolError(
        'roster/invalid',
        `"${member.name}" has no valid certificate under the pinned federation key.`,
      );
    }
  }
}

/** Hex SHA-256 over the canonical roster. */
export function rosterHash(roster: Roster): string {
  return toHex(sha256(canonicalJson({ domain: domains.roster, roster })));
}

/** Short form of a key for people to compare by another channel: 8 groups of 4 hex digits of its SHA-256. */
export function fingerprint(identity: string): string {
  const digest = toHex(sha256(utf8(`${domains.fingerprint}:${identity}`)));
  return (digest.slice(0, 32).match(/.{4}/g) ?? []).join(' ');
}
