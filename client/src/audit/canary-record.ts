/**
 * The record of an audit's canaries: what they are, and what each coin said. It stays with the owner until the audit is over.
 *
 * The seal is a hash over all of it, which can be told to others before training without telling them any coin, and shows afterwards
 * that nothing was chosen later: not the canaries, not the coins, not how many are guessed.
 */

import { readFile, rm } from 'node:fs/promises';
import { canonicalJson, MOST_CANARIES, sha256, toHex, type RandomSource } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { rowFormats, type RowFormat } from '../data/row-formats.js';
import { writeAtomically } from '../storage/atomic-file.js';
import { takeName } from '../storage/new-file.js';
import { canaryFields, makeCanaries, type Canary } from './canaries.js';

export interface CanaryRecord {
  readonly version: 1;
  readonly format: RowFormat;
  /** How many canaries will be guessed: fixed before anybody looked, as the bound demands. */
  readonly guesses: number;
  readonly canaries: readonly Canary[];
  /** 64 hex digits: without it, whoever knows the canaries could try coins against the seal. */
  readonly salt: string;
}

export interface SealedCanaries {
  readonly record: CanaryRecord;
  /** 64 hex digits. */
  readonly seal: string;
}

export interface CanaryChoice {
  readonly count: number;
  readonly guesses: number;
  readonly format: RowFormat;
}

/** Where the record of a file of canaries lies. */
export function recordPathOf(out: string): string {
  return `${out}.record`;
}

export function sealCanaries({ count, guesses, format }: CanaryChoice, random: RandomSource): SealedCanaries {
  const canaries = makeCanaries(count, random);
  const record: CanaryRecord = { version: 1, format, guesses, canaries, salt: toHex(random(32)) };
  return { record, seal: sealOf(record) };
}

function sealOf(record: CanaryRecord): string {
  return toHex(sha256(canonicalJson({ domain: 'fedlora/canaries/v1', record })));
}

/**
 * Writes the canaries that are to be learned from to `out`, JSON lines, and the record beside it; both readable by the owner alone, and
 * over nothing.
 *
 * @throws FedloraError data/output-exists
 */
export async function writeCanaries(out: string, { record, seal }: SealedCanaries): Promise<void> {
  const taken: string[] = [];
  try {
    for (const path of [out, recordPathOf(out)]) {
      await takeName(path);
      taken.push(path);
    }
    const included = record.canaries.filter(({ isIncluded }) => isIncluded);
    const lines = included.map((canary) => `${JSON.stringify(canaryFields(canary, record.format))}\n`);
    await writeAtomically(recordPathOf(out), `${JSON.stringify({ seal, ...record })}\n`, { mode: 0o600 });
    await writeAtomically(out, lines.join(''), { mode: 0o600 });
  } catch (error) {
    for (const path of taken) await rm(path, { force: true });
    throw error;
  }
}

/** @throws FedloraError data/bad-canaries: not a record, or not as it was sealed */
export async function readCanaries(path: string): Promise<SealedCanaries> {
  const refuse = (why: string, cause?: unknown): FedloraError =>
    new FedloraError('data/bad-canaries', why, { where: path, cause });
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw refuse('It cannot be read.', cause);
  }
  const { seal, ...record } = (content ?? {}) as Readonly<Record<string, unknown>>;
  if (!isRecord(record)) throw refuse('It is no record of canaries.');
  if (sealOf(record) !== seal) throw refuse('It is not as it was sealed.');
  return { record, seal };
}

function isRecord(value: Readonly<Record<string, unknown>>): value is Readonly<Record<string, unknown>> & CanaryRecord {
  const { version, format, guesses, canaries, salt } = value;
  return (
    Object.keys(value).length === 5 &&
    version === 1 &&
    Object.values(rowFormats).some((one) => one === format) &&
    Array.isArray(canaries) &&
    canaries.length <= MOST_CANARIES &&
    canaries.every(isCanary) &&
    Number.isInteger(guesses) &&
    Number(guesses) >= 1 &&
    Number(guesses) <= canaries.length &&
    typeof salt === 'string'
  );
}

function isCanary(value: unknown): value is Canary {
  if (typeof value !== 'object' || value === null) return false;
  const { key, code, isIncluded } = value as Readonly<Record<string, unknown>>;
  return typeof key === 'string' && typeof code === 'string' && typeof isIncluded === 'boolean';
}
