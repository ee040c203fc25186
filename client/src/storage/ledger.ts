/**
 * The privacy ledger of one data set: what each round spent, written before a row is learned from.
 *
 * Source     SPEC §19
 * Format     JSON lines `{"entry": {...}, "hash": hex, "signature": hex}`. `hash` is SHA-256 over the canonical JSON of the entry
 *            under a tag; each entry names the hash before it; `signature` is the identity key's over the hash. Since hashes are
 *            chained, the last signature vouches for every line.
 * Guarantee  `record` returns when the charge is on disk; a charge that was written in full is never lost; a line changed, removed
 *            or moved afterwards is found. Not found: the whole file replaced by an older copy of itself.
 */

import { canonicalJson, fromHex, sha256, toHex } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import { AppendLog } from './append-log.js';
import type { Identity } from './identity.js';
import { Spending, type Charge } from './spending.js';

export interface LedgerEntry extends Charge {
  /** From 1. */
  readonly sequence: number;
  /** Hash of the entry before; zeros for the first. */
  readonly previous: string;
  readonly dataset: string;
  /** Unix milliseconds. */
  readonly at: number;
}

interface LedgerLine {
  readonly entry: LedgerEntry;
  readonly hash: string;
  readonly signature: string;
}

const NO_PREVIOUS = '0'.repeat(64);
const TAG = 'fedlora/client-ledger/v1';

export class Ledger {
  readonly spending = new Spending();
  private readonly known: LedgerEntry[] = [];
  private lastHash = NO_PREVIOUS;

  private constructor(
    readonly dataset: string,
    private readonly log: AppendLog,
    private readonly identity: Identity,
    /** Whether a torn last line was cut off when the ledger was opened. */
    readonly repaired: boolean,
  ) {}

  /** Opens or creates a ledger; checks the whole chain. @throws FedloraError ledger/tampered */
  static async open(path: string, dataset: string, identity: Identity): Promise<Ledger> {
    const { log, lines, repaired } = await AppendLog.open(path, (line) => parseLine(line) !== undefined);
    try {
      const ledger = new Ledger(dataset, log, identity, repaired);
      // The last signature covers every hash before it; `readLedger` checks them one by one.
      for (const [index, line] of lines.entries()) {
        const checked = checkLine(
          line,
          index + 1,
          ledger.lastHash,
          index === lines.length - 1 ? identity.publicKey : undefined,
        );
        if (checked.entry.dataset !== dataset) throw tampered(index + 1, 'is of another data set');
        ledger.add(checked);
      }
      return ledger;
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  get entries(): readonly LedgerEntry[] {
    return this.known;
  }

  /** Writes a charge to disk; only then may its round use a row. */
  async record(charge: Charge, at: number): Promise<LedgerEntry> {
    const { runId, roundId, manifestHash, unit, noiseMultiplier, samplingRate, steps, delta } = charge;
    const entry: LedgerEntry = {
      sequence: this.known.length + 1,
      previous: this.lastHash,
      dataset: this.dataset,
      runId,
      roundId,
      manifestHash,
      unit,
      noiseMultiplier,
      samplingRate,
      steps,
      delta,
      at,
    };
    const hash = entryHash(entry);
    const line: LedgerLine = { entry, hash: toHex(hash), signature: toHex(this.identity.sign(hash)) };
    const text = JSON.stringify(line);
    // What could not be read back must not be written: the ledger would count as tampered from then on.
    if (parseLine(text) === undefined)
      throw new FedloraError('manifest/invalid', 'The charge of the round is not one that a ledger can hold.');
    await this.log.append(text);
    this.add(line);
    return entry;
  }

  close(): Promise<void> {
    return this.log.close();
  }

  private add({ entry, hash }: LedgerLine): void {
    this.known.push(entry);
    this.lastHash = hash;
    this.spending.add(entry);
  }
}

/**
 * Reads a ledger without touching the file, which a daemon may be writing: a torn last line is left alone and not counted.
 *
 * @throws FedloraError ledger/tampered: names the line
 */
export function readLedger(content: string, publicKey: string): readonly LedgerEntry[] {
  const lines = content.split('\n').slice(0, -1);
  let previous = NO_PREVIOUS;
  return lines.map((text, index) => {
    const line = checkLine(text, index + 1, previous, publicKey);
    previous = line.hash;
    return line.entry;
  });
}

function checkLine(text: string, number: number, previous: string, publicKey: string | undefined): LedgerLine {
  const line = parseLine(text);
  if (line === undefined) throw tampered(number, 'cannot be read');
  const { entry, hash, signature } = line;
  if (entry.sequence !== number) throw tampered(number, 'has another place in the sequence');
  if (entry.previous !== previous) throw tampered(number, 'does not follow the one before');
  const computed = entryHash(entry);
  if (toHex(computed) !== hash) throw tampered(number, 'was changed');
  if (publicKey !== undefined && !nodeProvider.ed25519.verify(fromHex(signature), computed, fromHex(publicKey))) {
    throw tampered(number, 'is not signed by this identity');
  }
  return line;
}

function parseLine(text: string): LedgerLine | undefined {
  try {
    const { entry, hash, signature } = JSON.parse(text) as Partial<LedgerLine>;
    if (entry === undefined || typeof entry !== 'object' || typeof entry.sequence !== 'number') return undefined;
    if (typeof hash !== 'string' || typeof signature !== 'string') return undefined;
    if (!/^[0-9a-f]{64}$/.test(hash) || !/^[0-9a-f]{128}$/.test(signature)) return undefined;
    const numbers = [entry.noiseMultiplier, entry.samplingRate, entry.steps, entry.delta];
    if (!numbers.every((value) => typeof value === 'number' && Number.isFinite(value))) return undefined;
    if (!['record', 'client', 'none'].includes(entry.unit)) return undefined;
    // As `record` wrote it: nothing beside these fields, which the hash would not cover, and no other spelling.
    if (JSON.stringify({ entry, hash, signature }) !== text) return undefined;
    // Safe: each field that is used was checked; the hash covers the rest.
    return { entry, hash, signature };
  } catch {
    // Not JSON: a torn or foreign line, which the caller reports.
    return undefined;
  }
}

function entryHash(entry: LedgerEntry): Uint8Array {
  return sha256(canonicalJson({ domain: TAG, entry }));
}

function tampered(line: number, why: string): FedloraError {
  return new FedloraError('ledger/tampered', `Line ${line} of the privacy ledger ${why}.`, { details: { line } });
}
