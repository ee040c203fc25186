/**
 * The privacy ledger of one data set: what each round spent, written before a row is learned from.
 *
 * Source     SPEC §19
 * Format     `ledger-chain.ts`
 * Guarantee  `record` returns when the charge is on disk; a charge that was written in full is never lost; a line changed, removed
 *            or moved afterwards is found. Not found: the whole file replaced by an older copy of itself.
 */

import { Spending, toHex } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { AppendLog } from './append-log.js';
import type { Identity } from './identity.js';
import {
  checkLedger,
  entryHash,
  lastSigner,
  parseLine,
  signedLine,
  type CheckedLedger,
  type KeyChange,
  type LedgerEntry,
  type LedgerKeys,
  type RecordsNote,
  type Charge,
} from './ledger-chain.js';

export class Ledger {
  readonly spending = new Spending();
  private readonly known: LedgerEntry[];
  private readonly notes: RecordsNote[];
  private sequence: number;
  private lastHash: string;

  private constructor(
    readonly dataset: string,
    private readonly log: AppendLog,
    private readonly identity: Identity,
    checked: CheckedLedger,
    /** Whether a torn last line was cut off when the ledger was opened. */
    readonly repaired: boolean,
  ) {
    this.known = [...checked.charges];
    this.notes = [...checked.recordsNotes];
    this.sequence = checked.length;
    this.lastHash = checked.lastHash;
    for (const charge of this.known) this.spending.add(charge);
  }

  /** Opens or creates a ledger; checks the whole chain. @throws FedloraError ledger/tampered | ledger/key-changed */
  static async open(path: string, dataset: string, identity: Identity, federationKey?: string): Promise<Ledger> {
    const { log, lines, repaired } = await openLog(path);
    try {
      const keys = keysOf(identity.publicKey, federationKey);
      return new Ledger(dataset, log, identity, checkLedger(lines, dataset, keys), repaired);
    } catch (error) {
      await log.close();
      throw error;
    }
  }

  get entries(): readonly LedgerEntry[] {
    return this.known;
  }

  get recordsNotes(): readonly RecordsNote[] {
    return this.notes;
  }

  /** Writes a charge to disk; only then may its round use a row. */
  async record(charge: Charge, at: number): Promise<LedgerEntry> {
    const { runId, roundId, manifestHash, unit, noiseMultiplier, samplingRate, steps, delta } = charge;
    const entry: LedgerEntry = {
      sequence: this.sequence + 1,
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
    await this.append(entry);
    this.known.push(entry);
    this.spending.add(entry);
    return entry;
  }

  /** Writes to disk which records the data set has had by now. */
  async noteRecords(
    { count, digest, isWhole, sharedWith }: Pick<RecordsNote, 'count' | 'digest' | 'isWhole' | 'sharedWith'>,
    at: number,
  ): Promise<void> {
    const link = { sequence: this.sequence + 1, previous: this.lastHash, dataset: this.dataset };
    const note: RecordsNote = { kind: 'records', ...link, count, digest, isWhole, sharedWith, at };
    await this.append(note);
    this.notes.push(note);
  }

  private async append(entry: LedgerEntry | RecordsNote): Promise<void> {
    const line = signedLine(entry, this.identity);
    const text = JSON.stringify(line);
    // What could not be read back must not be written: the ledger would count as tampered from then on.
    if (parseLine(text) === undefined)
      throw new FedloraError('manifest/invalid', 'The charge of the round is not one that a ledger can hold.');
    await this.log.append(text);
    this.sequence += 1;
    this.lastHash = line.hash;
  }

  close(): Promise<void> {
    return this.log.close();
  }
}

/** The key that a ledger was written with: itself, or, where it is lost, its public half on the federation's list of revoked keys. */
export type FormerKey = Identity | { readonly publicKey: string; readonly revocations: string };

/**
 * Hands a ledger over to another identity key. Nothing happens where that was done before, or nothing was ever written.
 *
 * @throws FedloraError ledger/tampered | ledger/key-changed: it is under neither of the two keys
 */
export async function handOver(
  path: string,
  dataset: string,
  change: { readonly from: FormerKey; readonly to: Identity; readonly at: number; readonly federationKey?: string },
): Promise<void> {
  const { from, to, at, federationKey } = change;
  const { log, lines } = await openLog(path);
  try {
    if (lines.length === 0) return;
    if (lastSigner(lines, [to.publicKey]) !== undefined) {
      checkLedger(lines, dataset, keysOf(to.publicKey, federationKey));
      return;
    }
    const { length, lastHash } = checkLedger(lines, dataset, keysOf(from.publicKey, federationKey));
    const entry: KeyChange = {
      kind: 'key-change',
      sequence: length + 1,
      previous: lastHash,
      dataset,
      from: from.publicKey,
      to: to.publicKey,
      at,
    };
    const former =
      'sign' in from ? { signature: toHex(from.sign(entryHash(entry))) } : { revocations: from.revocations };
    const text = JSON.stringify(signedLine(entry, to, former));
    checkLedger([...lines, text], dataset, keysOf(to.publicKey, federationKey));
    await log.append(text);
  } finally {
    await log.close();
  }
}

/**
 * Reads a ledger without touching the file, which a daemon may be writing: a torn last line is left alone and not counted.
 *
 * @param dataset whose it must be; by default anybody's
 * @throws FedloraError ledger/tampered: names the line | ledger/key-changed
 */
export function readLedger(content: string, keys: LedgerKeys, dataset?: string): CheckedLedger {
  return checkLedger(content.split('\n').slice(0, -1), dataset, keys);
}

function openLog(path: string): ReturnType<typeof AppendLog.open> {
  return AppendLog.open(path, (line) => parseLine(line) !== undefined);
}

function keysOf(publicKey: string, federationKey: string | undefined): LedgerKeys {
  return { publicKey, ...(federationKey === undefined ? {} : { federationKey }) };
}
