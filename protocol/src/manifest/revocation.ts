/**
 * The revocation list: the identity keys that the federation key has taken back. Source: SPEC §15.
 *
 * A certificate has no end of its own; this list ends it. It is made offline with the federation key, served by the coordinator
 * with every offer, and remembered by every client. It only grows: a key that was revoked stays revoked, and an organisation that
 * changes its key is certified anew while its old key goes on the list.
 *
 * Not promised  that a client which never saw a newer list knows of it: a coordinator can hold a list back, but it cannot take
 *               back one that a client has seen.
 */

import { canonicalJson } from '../bytes/canonical-json.js';
import { fromHex, toHex } from '../bytes/hex.js';
import { ProtocolError } from '../errors.js';
import type { CryptoProvider } from '../primitives/provider.js';
import { domains } from '../primitives/domains.js';
import type { Roster } from './roster.js';

export interface RevocationList {
  readonly version: 1;
  /** From 1; each list has a larger one than the list before. */
  readonly epoch: number;
  /** Ed25519 public keys, 64 hex digits each, in increasing order. */
  readonly revoked: readonly string[];
}

/** Most keys of one list, so that it fits a socket message beside the terms of a run. */
const MOST_REVOKED = 4096;
const KEY = /^[0-9a-f]{64}$/;
const SIGNATURE = /^[0-9a-f]{128}$/;

/** The list that follows `previous` (`undefined`: the first) and revokes `identities` too. @throws ProtocolError roster/revocations-invalid */
export function nextRevocations(previous: RevocationList | undefined, identities: readonly string[]): RevocationList {
  const revoked = [...new Set([...(previous?.revoked ?? []), ...identities])].sort();
  const list: RevocationList = { version: 1, epoch: (previous?.epoch ?? 0) + 1, revoked };
  checkForm(list);
  return list;
}

/** The list with the federation key's signature, as the text that travels and is stored. */
export function signRevocations(crypto: CryptoProvider, federationSeed: Uint8Array, list: RevocationList): string {
  checkForm(list);
  return textOf(list, toHex(crypto.ed25519.sign(federationSeed, revocationMessage(list))));
}

/**
 * Reads a signed list.
 *
 * Guarantee  well-formed, in the one canonical encoding, signed by the pinned federation key
 * @throws ProtocolError roster/revocations-invalid: says what is wrong
 */
export function readRevocations(crypto: CryptoProvider, federationKey: string, text: string): RevocationList {
  const { list, signature } = parse(text);
  checkForm(list);
  if (textOf(list, signature) !== text) throw invalid('It is not in its canonical encoding.');
  if (
    !KEY.test(federationKey) ||
    !crypto.ed25519.verify(fromHex(signature), revocationMessage(list), fromHex(federationKey))
  ) {
    throw invalid('It is not signed by the pinned federation key.');
  }
  return list;
}

/**
 * Whether a list may take the place of the one that is remembered.
 *
 * @throws ProtocolError roster/revocations-outdated: an older epoch, none where one was seen, another list of the same epoch, or
 *         a key that is no longer revoked
 */
export function checkSupersedes(remembered: RevocationList | undefined, offered: RevocationList | undefined): void {
  if (remembered === undefined) return;
  if (offered === undefined || offered.epoch < remembered.epoch) {
    throw new ProtocolError(
      'roster/revocations-outdated',
      `The revocation list has epoch ${offered?.epoch ?? 'none'}; epoch ${remembered.epoch} was seen before.`,
    );
  }
  const now = new Set(offered.revoked);
  const isKept = remembered.revoked.every((key) => now.has(key));
  if (!isKept || (offered.epoch === remembered.epoch && now.size !== remembered.revoked.length)) {
    throw new ProtocolError(
      'roster/revocations-outdated',
      `The revocation list of epoch ${offered.epoch} contradicts the one of epoch ${remembered.epoch}.`,
    );
  }
}

/** @throws ProtocolError roster/revoked-member: names the first member whose key is revoked */
export function checkNoneRevoked(roster: Roster, list: RevocationList | undefined): void {
  const revoked = new Set(list?.revoked);
  const member = roster.members.find(({ identity }) => revoked.has(identity));
  if (member !== undefined) {
    throw new ProtocolError(
      'roster/revoked-member',
      `The roster names "${member.name}" with a key that the revocation list of epoch ${list?.epoch} takes back.`,
      { member: member.name },
    );
  }
}

function revocationMessage(list: RevocationList): Uint8Array {
  return canonicalJson({ domain: domains.revocations, list });
}

function textOf(list: RevocationList, signature: string): string {
  // Its characters are ASCII, one byte each: digits, hex and names of ours.
  return Array.from(canonicalJson({ list, signature }), (byte) => String.fromCharCode(byte)).join('');
}

function parse(text: string): { readonly list: RevocationList; readonly signature: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ProtocolError('roster/revocations-invalid', 'The revocation list is not JSON.', {}, { cause });
  }
  const { list, signature } = (value ?? {}) as { list?: RevocationList; signature?: string };
  if (typeof list !== 'object' || list === null) throw invalid('Its list is missing.');
  if (typeof signature !== 'string' || !SIGNATURE.test(signature))
    throw invalid('Its signature is not 128 hex digits.');
  return { list, signature };
}

function checkForm({ version, epoch, revoked }: RevocationList): void {
  if (version !== 1) throw invalid('Only version 1 is known.');
  if (!Number.isSafeInteger(epoch) || epoch < 1) throw invalid('Its epoch is not a whole number from 1.');
  if (!Array.isArray(revoked) || revoked.length > MOST_REVOKED)
    throw invalid(`It has no list of up to ${MOST_REVOKED} keys.`);
  revoked.forEach((key: unknown, i) => {
    if (typeof key !== 'string' || !KEY.test(key)) throw invalid(`Key ${i + 1} is not 64 hex digits.`);
    if (i > 0 && !(revoked[i - 1] < key)) throw invalid(`Key ${i + 1} is not in increasing order.`);
  });
}

function invalid(why: string): ProtocolError {
  return new ProtocolError('roster/revocations-invalid', `The revocation list cannot be used. ${why}`);
}
