/**
 * The format of a privacy ledger, and the check of its chain.
 *
 * Lines      `{"entry":{...},"hash":hex,"signature":hex}` and a line feed. `hash` is SHA-256 over the canonical JSON of
 *            `{"domain": TAG, "entry": entry}`; each entry names the hash before it, 64 zeros in the first, and its place from 1.
 *            `signature` is Ed25519 over the 32 bytes of the hash, by the identity key of the time.
 * Keys       A change of the identity key is an entry of its own, `{"kind":"key-change","from":key,"to":key,...}`. It is signed by
 *            the new key, which so vouches for everything before it, and `former` says why the old one agrees: its own signature
 *            over the same hash, or, where it is lost, the federation's signed list of revoked keys with the old key on it.
 * Records    `{"kind":"records",...}` says which records the data set has had: their keyed fingerprints are in a file beside the
 *            ledger (`record-file.ts`), whose length and digest stand here, and the other data sets that some of them stood in.
 * Guarantee  a line has one encoding. A chain that ends with the present identity key was written by it and the keys it follows
 *            from: a line changed, removed, added or moved is found, in whichever key's time it stands.
 */

import { canonicalJson, fromHex, privacyUnits, readRevocations, sha256, toHex, type Cost } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import type { Identity } from './identity.js';

/** What every entry has. */
interface Link {
  /** From 1. */
  readonly sequence: number;
  /** Hash of the entry before; zeros for the first. */
  readonly previous: string;
  readonly dataset: string;
  /** Unix milliseconds. */
  readonly at: number;
}

/** What one round costs. */
export interface Charge extends Cost {
  readonly runId: string;
  readonly roundId: string;
  readonly manifestHash: string;
  readonly delta: number;
}

/** A round that was charged. */
export interface LedgerEntry extends Charge, Link {}

/** From here on another identity key signs. */
export interface KeyChange extends Link {
  readonly kind: 'key-change';
  /** Ed25519 public keys, 64 hex digits. */
  readonly from: string;
  readonly to: string;
}

/** Which records the data set has had so far. */
export interface RecordsNote extends Link {
  readonly kind: 'records';
  /** Fingerprints in the file beside the ledger. */
  readonly count: number;
  /** HMAC-SHA256 over them, 64 hex digits. */
  readonly digest: string;
  /** Whether all that were ever charged are among them: not where the ledger, or its file, began later. */
  readonly isWhole: boolean;
  /** Other data sets, by name, that some of the records have stood in. */
  readonly sharedWith: readonly string[];
}

type AnyEntry = LedgerEntry | KeyChange | RecordsNote;

/** Why the old key agrees to a change: it signed, too, or the federation has revoked it in this signed list. */
export type Former = { readonly signature: string } | { readonly revocations: string };

export interface LedgerLine {
  readonly entry: AnyEntry;
  readonly hash: string;
  readonly signature: string;
  /** Of a change of key. */
  readonly former?: Former;
}

/** Whose ledger it is. */
export interface LedgerKeys {
  /** The present identity key, 64 hex digits. */
  readonly publicKey: string;
  /** The pinned federation key; without it, a change of key that only the federation vouches for is not believed. */
  readonly federationKey?: string;
}

export interface CheckedLedger {
  readonly charges: readonly LedgerEntry[];
  readonly keyChanges: readonly KeyChange[];
  readonly recordsNotes: readonly RecordsNote[];
  /** Lines in all. */
  readonly length: number;
  /** Hash of the last entry, zeros without one. */
  readonly lastHash: string;
}

const NO_PREVIOUS = '0'.repeat(64);
const TAG = 'fedlora/client-ledger/v1';
const KEY = /^[0-9a-f]{64}$/;
const SIGNATURE = /^[0-9a-f]{128}$/;
/** What a data set may be called: a part of a file's name. */
export const DATASET_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

export function isKeyChange(entry: AnyEntry): entry is KeyChange {
  return 'kind' in entry && entry.kind === 'key-change';
}

function isRecordsNote(entry: AnyEntry): entry is RecordsNote {
  return 'kind' in entry && entry.kind === 'records';
}

export function entryHash(entry: AnyEntry): Uint8Array {
  return sha256(canonicalJson({ domain: TAG, entry }));
}

/** The line of an entry, with the signature of `identity`. */
export function signedLine(entry: AnyEntry, identity: Pick<Identity, 'sign'>, former?: Former): LedgerLine {
  const hash = entryHash(entry);
  const signature = toHex(identity.sign(hash));
  return { entry, hash: toHex(hash), signature, ...(former === undefined ? {} : { former }) };
}

/**
 * Checks a whole ledger, every signature included.
 *
 * @throws FedloraError ledger/tampered: names the first line that is wrong
 * @throws FedloraError ledger/key-changed: it goes on under another key than the present one
 */
export function checkLedger(lines: readonly string[], dataset: string | undefined, keys: LedgerKeys): CheckedLedger {
  const charges: LedgerEntry[] = [];
  const keyChanges: KeyChange[] = [];
  const recordsNotes: RecordsNote[] = [];
  let key = firstKey(lines) ?? keys.publicKey;
  let previous = NO_PREVIOUS;
  for (const [index, text] of lines.entries()) {
    const number = index + 1;
    const line = parseLine(text);
    if (line === undefined) throw tampered(number, 'cannot be read');
    const { entry, hash } = line;
    if (entry.sequence !== number) throw tampered(number, 'has another place in the sequence');
    if (entry.previous !== previous) throw tampered(number, 'does not follow the one before');
    if (toHex(entryHash(entry)) !== hash) throw tampered(number, 'was changed');
    if (dataset !== undefined && entry.dataset !== dataset) throw tampered(number, 'is of another data set');
    if (isKeyChange(entry)) {
      if (entry.from !== key) throw tampered(number, 'changes a key that was not in use');
      if (!isAgreedTo(line, entry, keys.federationKey)) throw tampered(number, 'changes the key without its consent');
      key = entry.to;
      keyChanges.push(entry);
    } else if (isRecordsNote(entry)) recordsNotes.push(entry);
    else charges.push(entry);
    if (!isSignedBy(key, line)) throw tampered(number, 'is not signed by the identity key of its time');
    previous = hash;
  }
  if (key !== keys.publicKey) throw new FedloraError('ledger/key-changed');
  return { charges, keyChanges, recordsNotes, length: lines.length, lastHash: previous };
}

/** The key that the first line must be signed by, where a later line says so. */
function firstKey(lines: readonly string[]): string | undefined {
  for (const text of lines) {
    if (!text.includes('"key-change"')) continue;
    const entry = parseLine(text)?.entry;
    if (entry !== undefined && isKeyChange(entry)) return entry.from;
  }
  return undefined;
}

function isAgreedTo({ hash, former }: LedgerLine, { from }: KeyChange, federationKey: string | undefined): boolean {
  if (former === undefined) return false;
  if ('signature' in former) return isSignedBy(from, { hash, signature: former.signature });
  return federationKey !== undefined && revokedKeys(former.revocations, federationKey).includes(from);
}

/** The keys that a list of the federation takes back; none where it is not the federation's. */
function revokedKeys(revocations: string, federationKey: string): readonly string[] {
  try {
    return readRevocations(nodeProvider, federationKey, revocations).revoked;
  } catch (error) {
    if (FedloraError.from(error).code === 'roster/revocations-invalid') return [];
    throw error;
  }
}

function isSignedBy(publicKey: string, { hash, signature }: Pick<LedgerLine, 'hash' | 'signature'>): boolean {
  return nodeProvider.ed25519.verify(fromHex(signature), fromHex(hash), fromHex(publicKey));
}

/** Which of these keys wrote the last line; `undefined`: none, or there is no line. */
export function lastSigner(lines: readonly string[], candidates: readonly string[]): string | undefined {
  const text = lines.at(-1);
  const line = text === undefined ? undefined : parseLine(text);
  return line === undefined ? undefined : candidates.find((key) => isSignedBy(key, line));
}

/** The line, or `undefined` where it is not one of ours in its one encoding. */
export function parseLine(text: string): LedgerLine | undefined {
  let value: Partial<LedgerLine> | null;
  try {
    value = JSON.parse(text) as Partial<LedgerLine> | null;
  } catch {
    // Not JSON: a torn or foreign line, which the caller reports.
    return undefined;
  }
  const { entry, hash, signature, former } = value ?? {};
  if (typeof entry !== 'object' || entry === null) return undefined;
  if (typeof entry.sequence !== 'number' || typeof entry.dataset !== 'string') return undefined;
  if (!isText(hash, KEY) || !isText(signature, SIGNATURE)) return undefined;
  if (!isWellFormed(entry, former)) return undefined;
  // Safe: each field that is used was checked; the hash covers the rest of the entry.
  const line = { entry, hash, signature, ...(former === undefined ? {} : { former }) } as LedgerLine;
  return JSON.stringify(line) === text ? line : undefined;
}

function isWellFormed(entry: AnyEntry, former: Former | undefined): boolean {
  if (isKeyChange(entry)) return isOfKeys(entry, former);
  if (former !== undefined) return false;
  return isRecordsNote(entry) ? isOfRecords(entry) : !('kind' in entry) && isOfRound(entry);
}

function isOfRecords({ count, digest, isWhole, sharedWith }: RecordsNote): boolean {
  return (
    Number.isSafeInteger(count) &&
    count >= 0 &&
    isText(digest, KEY) &&
    typeof isWhole === 'boolean' &&
    Array.isArray(sharedWith) &&
    sharedWith.every((name) => isText(name, DATASET_NAME))
  );
}

function isOfRound({ unit, noiseMultiplier, samplingRate, steps, delta }: LedgerEntry): boolean {
  const numbers: unknown[] = [noiseMultiplier, samplingRate, steps, delta];
  return (
    privacyUnits.includes(unit) && numbers.every((number) => typeof number === 'number' && Number.isFinite(number))
  );
}

function isOfKeys({ from, to }: KeyChange, former: Former | undefined): boolean {
  if (!isText(from, KEY) || !isText(to, KEY)) return false;
  if (typeof former !== 'object' || former === null || Object.keys(former).length !== 1) return false;
  return 'signature' in former ? isText(former.signature, SIGNATURE) : typeof former.revocations === 'string';
}

function isText(value: unknown, form: RegExp): value is string {
  return typeof value === 'string' && form.test(value);
}

function tampered(line: number, why: string): FedloraError {
  return new FedloraError('ledger/tampered', `Line ${line} of the privacy ledger ${why}.`, { details: { line } });
}
