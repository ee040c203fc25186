/**
 * What the records of a data set have spent, under whatever names their data set had.
 *
 * A ledger is kept for each name. A data set that gets another name begins a ledger of its own, but its records have spent what they
 * spent: so each data set's records are remembered by keyed fingerprints, and a data set that has a record of another one counts that
 * one's charges as well as its own. That is noted in its ledger, signed like a charge, so that taking the record out again changes
 * nothing. Where it cannot be told which records another data set had, it counts as sharing some.
 *
 * Guarantee  for every record, at least what it was charged for under any name; as an upper bound: one common record inherits all.
 *            Fingerprints are on disk before the first charge of their records.
 */

import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Spending } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import type { Identity } from './identity.js';
import { Ledger, readLedger } from './ledger.js';
import {
  DATASET_NAME,
  type CheckedLedger,
  type KeyChange,
  type LedgerEntry,
  type LedgerKeys,
  type RecordsNote,
  type Charge,
} from './ledger-chain.js';
import { RecordFile } from './record-file.js';

/** Where ledgers are: `config/home.ts`. */
export interface LedgerPaths {
  readonly ledgers: string;
  ledger(dataset: string): string;
  records(dataset: string): string;
}

export interface AccountParts {
  readonly paths: LedgerPaths;
  readonly dataset: string;
  readonly identity: Identity;
  readonly federationKey: string | undefined;
  /** Of the fingerprints. */
  readonly recordKey: Uint8Array;
  /** Data sets that the owner says this one has nothing to do with, whatever rows both have. */
  readonly unrelated: readonly string[];
  /** Told when records are found that another data set had. */
  readonly onInherited?: (datasets: readonly string[]) => void;
}

const SUFFIX = '.jsonl';

export class Account {
  private totals: Spending;
  private charges: readonly LedgerEntry[];
  /** The rows that were looked at last. */
  private recognised: object | undefined;

  private constructor(
    private readonly ledger: Ledger,
    private readonly records: RecordFile,
    private readonly parts: AccountParts,
    /** Charges of other data sets that count here, by name. */
    private readonly inherited: Map<string, readonly LedgerEntry[]>,
    /** Charges of every other data set of this organisation, by name. */
    private readonly others: ReadonlyMap<string, readonly LedgerEntry[]>,
  ) {
    this.charges = [];
    this.totals = new Spending();
    this.addUp();
  }

  /** Opens or creates the ledger of the data set. @throws FedloraError ledger/tampered | ledger/key-changed */
  static async open(parts: AccountParts): Promise<Account> {
    const { paths, dataset, identity, federationKey, recordKey, unrelated } = parts;
    const ledger = await Ledger.open(paths.ledger(dataset), dataset, identity, federationKey);
    try {
      const others = await chargesOfOthers(paths, dataset, keysOf(parts));
      const inherited = await inheritedCharges(others, ledger.recordsNotes, unrelated, paths, keysOf(parts));
      const remembered = await RecordFile.read(paths.records(dataset), recordKey);
      return new Account(ledger, remembered, parts, inherited, others);
    } catch (error) {
      await ledger.close();
      throw error;
    }
  }

  /** Whether a torn last line was cut off when the ledger was opened. */
  get repaired(): boolean {
    return this.ledger.repaired;
  }

  /** All charges that count for the data set, of other names first. */
  get entries(): readonly LedgerEntry[] {
    return this.charges;
  }

  get spending(): Spending {
    return this.totals;
  }

  /** Charges of the organisation's other data sets: they count besides where the whole organisation is protected. */
  get elsewhere(): readonly LedgerEntry[] {
    return [...this.others].flatMap(([name, charges]) => (this.inherited.has(name) ? [] : charges));
  }

  /** Writes a charge to disk; only then may its round use a row, of those that were recognised. */
  async record(charge: Charge, at: number): Promise<void> {
    await this.ledger.record(charge, at);
    this.addUp();
  }

  /**
   * Remembers the records of a round that is to come, and finds those that other data sets had. Costs nothing where the rows are
   * those of the last call.
   *
   * @returns whether more counts as spent than before
   */
  async recognise(rows: readonly { readonly fingerprint: bigint }[], at: number): Promise<boolean> {
    if (this.recognised === rows) return false;
    const { ledger, records, parts } = this;
    const fingerprints = new Set(rows.map(({ fingerprint }) => fingerprint));
    const before = sharedNames(ledger.recordsNotes);
    const found = await this.othersWith(fingerprints, before);
    const last = ledger.recordsNotes.at(-1);
    const isAsNoted = last !== undefined && records.isAsNoted(last);
    const added = await records.add(fingerprints);
    if (added > 0 || found.size > 0 || !isAsNoted) {
      // A file that began after the first charge, or was lost since, does not have the records of before.
      const isWhole = last === undefined ? ledger.entries.length === 0 : isAsNoted && last.isWhole;
      const sharedWith = [...before, ...found.keys()].sort();
      await ledger.noteRecords({ count: records.count, digest: records.digest(), isWhole, sharedWith }, at);
    }
    this.recognised = rows;
    const counted = [...found].filter(([name]) => !parts.unrelated.includes(name));
    for (const [name, charges] of counted) this.inherited.set(name, charges);
    if (counted.length === 0) return false;
    this.addUp();
    parts.onInherited?.(counted.map(([name]) => name));
    return true;
  }

  close(): Promise<void> {
    return this.ledger.close();
  }

  /** Charges of the other data sets that have, or may have, one of these records, but for those that are known. */
  private async othersWith(
    fingerprints: ReadonlySet<bigint>,
    known: ReadonlySet<string>,
  ): Promise<Map<string, readonly LedgerEntry[]>> {
    const { paths, dataset, recordKey } = this.parts;
    const found = new Map<string, readonly LedgerEntry[]>();
    for (const name of await datasetsIn(paths.ledgers)) {
      if (name === dataset || known.has(name)) continue;
      const { charges, recordsNotes } = await readLedgerOf(name, paths, keysOf(this.parts));
      const records = await RecordFile.read(paths.records(name), recordKey);
      const last = recordsNotes.at(-1);
      const isKnown = last !== undefined && last.isWhole && records.isAsNoted(last);
      if (records.hasAny(fingerprints) || (!isKnown && charges.length > 0)) found.set(name, charges);
    }
    return found;
  }

  private addUp(): void {
    this.charges = [...[...this.inherited.values()].flat(), ...this.ledger.entries];
    this.totals = Spending.of(this.charges);
  }
}

/** What is known of a data set's spending without opening its ledger for writing. */
export interface ReadAccount {
  /** Of other data sets first. */
  readonly charges: readonly LedgerEntry[];
  readonly keyChanges: readonly KeyChange[];
  /** Other data sets, by name, whose charges count. */
  readonly inheritedFrom: readonly string[];
  /** Of the organisation's other data sets: they count besides where the whole organisation is protected. */
  readonly elsewhere: readonly LedgerEntry[];
}

/** Reads without touching a file, while a daemon may be writing. @throws FedloraError ledger/tampered | ledger/key-changed */
export async function readAccount(
  paths: Pick<LedgerPaths, 'ledger' | 'ledgers'>,
  dataset: string,
  unrelated: readonly string[],
  keys: LedgerKeys,
): Promise<ReadAccount> {
  const content = await readFile(paths.ledger(dataset), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  const { charges, keyChanges, recordsNotes } = readLedger(content, keys, dataset);
  const others = await chargesOfOthers(paths, dataset, keys);
  const inherited = await inheritedCharges(others, recordsNotes, unrelated, paths, keys);
  return {
    charges: [...[...inherited.values()].flat(), ...charges],
    keyChanges,
    inheritedFrom: [...inherited.keys()],
    elsewhere: [...others].flatMap(([name, entries]) => (inherited.has(name) ? [] : entries)),
  };
}

/** By name. @throws FedloraError ledger/tampered */
async function chargesOfOthers(
  paths: Pick<LedgerPaths, 'ledger' | 'ledgers'>,
  dataset: string,
  keys: LedgerKeys,
): Promise<Map<string, readonly LedgerEntry[]>> {
  const charges = new Map<string, readonly LedgerEntry[]>();
  for (const name of await datasetsIn(paths.ledgers)) {
    if (name !== dataset) charges.set(name, (await readLedgerOf(name, paths, keys)).charges);
  }
  return charges;
}

/** Charges of the data sets that a ledger's notes name, without those that are unrelated. @throws FedloraError ledger/tampered */
async function inheritedCharges(
  others: ReadonlyMap<string, readonly LedgerEntry[]>,
  notes: readonly RecordsNote[],
  unrelated: readonly string[],
  paths: Pick<LedgerPaths, 'ledger'>,
  keys: LedgerKeys,
): Promise<Map<string, readonly LedgerEntry[]>> {
  const charges = new Map<string, readonly LedgerEntry[]>();
  for (const name of sharedNames(notes)) {
    if (unrelated.includes(name)) continue;
    // One that is not among them is missing, which is said.
    charges.set(name, others.get(name) ?? (await readLedgerOf(name, paths, keys)).charges);
  }
  return charges;
}

/** Taking a record out takes no name back. */
function sharedNames(notes: readonly RecordsNote[]): ReadonlySet<string> {
  return new Set(notes.flatMap(({ sharedWith }) => sharedWith));
}

/** The data sets with a ledger in a folder, by name. */
export async function datasetsIn(ledgers: string): Promise<readonly string[]> {
  const names = await readdir(ledgers).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  return names
    .filter((name) => name.endsWith(SUFFIX))
    .map((name) => basename(name, SUFFIX))
    .filter((name) => DATASET_NAME.test(name))
    .sort();
}

async function readLedgerOf(
  dataset: string,
  paths: Pick<LedgerPaths, 'ledger'>,
  keys: LedgerKeys,
): Promise<CheckedLedger> {
  const path = paths.ledger(dataset);
  const content = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FedloraError('ledger/tampered', 'The ledger of a data set that records were shared with is missing.', {
      where: path,
      cause,
    });
  });
  try {
    return readLedger(content, keys, dataset);
  } catch (error) {
    const { code, summary } = FedloraError.from(error);
    throw new FedloraError(code, summary, { where: path, cause: error });
  }
}

function keysOf({ identity, federationKey }: AccountParts): LedgerKeys {
  return { publicKey: identity.publicKey, ...(federationKey === undefined ? {} : { federationKey }) };
}
