/**
 * The audit log as it is exported, and its check: whoever holds an export can tell that no line was changed, removed or moved.
 *
 * Format     JSON lines `{"entry": {...}, "hash": hex}`. `hash` is SHA-256 over a tag and the canonical JSON of the entry; each entry
 *            names the hash before it.
 * Guarantee  a change to any line but the last ones breaks the chain. Not found by the export alone: the newest lines cut off, or
 *            the whole chain made anew. Both are found by comparing with a hash that was noted before (`head`).
 */

import { canonicalJson, sha256, toHex, utf8 } from '@fedlora/protocol';
import { FedloraError } from '../errors/fedlora-error.js';

/** JSON of plain values; never secrets. */
export type PlainValue =
  string | number | boolean | null | readonly PlainValue[] | { readonly [key: string]: PlainValue };
export type PlainObject = { readonly [key: string]: PlainValue };

/** Who did something. `unrecorded`: before the log knew. */
export interface AuditActor {
  readonly kind: 'user' | 'token' | 'client' | 'anonymous' | 'system' | 'unrecorded';
  /** Of a user or token. */
  readonly id?: string;
  readonly name?: string;
}

export interface AuditEntry {
  /** From 1, without gaps. */
  readonly sequence: number;
  /** Hash of the entry before; zeros for the first. */
  readonly previous: string;
  /** Unix milliseconds. */
  readonly at: number;
  /** Dotted, past tense, such as `run.started`. */
  readonly event: string;
  readonly actor: AuditActor;
  /** Where the request came from; `null` for what nobody asked for. */
  readonly address: string | null;
  readonly requestId: string | null;
  readonly details: PlainObject;
  /** The parts that changed, as they were and as they are; `null` where there is nothing to compare. */
  readonly before: PlainObject | null;
  readonly after: PlainObject | null;
}

/** One line of an export. */
export interface AuditLine {
  readonly entry: AuditEntry;
  readonly hash: string;
}

/** Where a chain stands. */
export interface AuditHead {
  readonly sequence: number;
  readonly hash: string;
}

/** `previous` of the first entry. */
export const NO_AUDIT_HASH = '0'.repeat(64);
const TAG = 'fedlora/audit/v1\n';

/** The entry as JSON, and its hash. @throws ProtocolError: a value has no canonical form */
export function auditLine(entry: AuditEntry): { readonly text: string; readonly hash: string } {
  const tag = utf8(TAG);
  const canonical = canonicalJson(entry);
  const message = new Uint8Array(tag.length + canonical.length);
  message.set(tag);
  message.set(canonical, tag.length);
  return { text: JSON.stringify(entry), hash: toHex(sha256(message)) };
}

/**
 * Checks the lines of an export, in order, and returns where they end.
 *
 * `after`: where an earlier export ended, for one that goes on from there; else the first line must be the log's first.
 * @throws FedloraError audit/broken-chain: names the line
 */
export function verifyAuditLines(lines: Iterable<string>, after?: AuditHead): AuditHead {
  let head: AuditHead = after ?? { sequence: 0, hash: NO_AUDIT_HASH };
  let number = 0;
  for (const line of lines) {
    number += 1;
    if (line.trim() === '') continue;
    const { entry, hash } = readLine(line, number);
    if (entry.sequence !== head.sequence + 1)
      throw broken(number, `is entry ${entry.sequence}, where ${head.sequence + 1} should be`);
    if (entry.previous !== head.hash) throw broken(number, 'does not name the hash of the entry before it');
    if (hashOf(entry, number) !== hash) throw broken(number, 'was changed: its hash is another');
    head = { sequence: entry.sequence, hash };
  }
  return head;
}

function readLine(line: string, number: number): AuditLine {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch (cause) {
    throw broken(number, 'is no JSON', cause);
  }
  const { entry, hash } = (parsed ?? {}) as Partial<AuditLine>;
  if (typeof entry !== 'object' || entry === null || typeof hash !== 'string') throw broken(number, 'is no audit line');
  return { entry, hash };
}

function hashOf(entry: AuditEntry, number: number): string {
  try {
    return auditLine(entry).hash;
  } catch (cause) {
    throw broken(number, 'has a value without a canonical form', cause);
  }
}

function broken(line: number, why: string, cause?: unknown): FedloraError {
  return new FedloraError('audit/broken-chain', `Line ${line} ${why}.`, {
    details: { line },
    ...(cause === undefined ? {} : { cause }),
  });
}
