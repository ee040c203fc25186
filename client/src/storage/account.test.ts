import { appendFile, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Spending } from '@fedlora/protocol';
import { outlook } from '../round/outlook.js';
import { Account, readAccount, type AccountParts } from './account.js';
import { createIdentity, type Identity } from './identity.js';
import { handOver, Ledger, readLedger } from './ledger.js';
import type { Charge } from './ledger-chain.js';

const charge = (roundId: string): Charge => ({
  runId: 'run',
  roundId,
  manifestHash: 'a'.repeat(64),
  unit: 'record',
  noiseMultiplier: 0.8,
  samplingRate: 0.02,
  steps: 1,
  delta: 1e-5,
});
/** Rows by their fingerprints. */
const rows = (...numbers: number[]) => numbers.map((number) => ({ fingerprint: BigInt(number) }));

describe('Account', () => {
  let folder: string;
  let identity: Identity;
  let opened: Account[];
  const paths = {
    get ledgers(): string {
      return folder;
    },
    ledger: (dataset: string) => join(folder, `${dataset}.jsonl`),
    records: (dataset: string) => join(folder, `${dataset}.records`),
  };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-account-'));
    identity = await createIdentity(join(folder, 'identity.key'));
    opened = [];
  });
  afterEach(async () => {
    await Promise.allSettled(opened.map((account) => account.close()));
    await rm(folder, { recursive: true });
  });

  const open = async (dataset: string, changes: Partial<AccountParts> = {}): Promise<Account> => {
    const recordKey = new Uint8Array(32).fill(1);
    const account = await Account.open({
      paths,
      dataset,
      identity,
      federationKey: undefined,
      recordKey,
      unrelated: [],
      ...changes,
    });
    opened.push(account);
    return account;
  };
  /** One round of a data set with these rows, in a process of its own. Gives the rounds that count for it afterwards. */
  const round = async (
    dataset: string,
    numbers: readonly number[],
    changes: Partial<AccountParts> = {},
  ): Promise<string[]> => {
    const account = await open(dataset, changes);
    await account.recognise(rows(...numbers), 1);
    await account.record(charge(`${dataset}-${account.entries.length + 1}`), 2);
    await account.close();
    return spent(account);
  };
  const spent = (account: Account): string[] => account.entries.map(({ roundId }) => roundId);
  const epsilonOf = (account: Account): number => account.spending.epsilon('record', 1e-5);

  it('counts what any data set of the organisation spent, where the whole organisation is protected', async () => {
    const clientCharge: Charge = { ...charge('next'), unit: 'client', samplingRate: 1, noiseMultiplier: 8 };
    const other = await open('archive');
    await other.recognise(rows(8, 9), 1);
    await other.record({ ...clientCharge, roundId: 'archive-1' }, 1);
    await other.close();
    const account = await open('clinic');
    await account.recognise(rows(1, 2), 1); // None of the other's.
    const alone = { entries: [], elsewhere: [] };
    expect(outlook(account, clientCharge, 30, 2).epsilon).toBeGreaterThan(outlook(alone, clientCharge, 30, 2).epsilon);
    expect(outlook(account, clientCharge, 30, 2).epsilon).toBeCloseTo(
      Spending.of([clientCharge, clientCharge]).epsilon('client', 1e-5),
      12,
    );
    // A record of this data set was not in that round.
    const next = charge('next');
    expect(outlook(account, next, 30, 2).epsilon).toBe(outlook(alone, next, 30, 2).epsilon);
    await account.close();
    // Rounds that protected single records of another data set promised nothing for the organisation.
    await round('letters', [7]);
    const mixed = await open('clinic');
    expect(outlook(mixed, clientCharge, 30, 9).epsilon).toBe(Infinity);
    await mixed.close();
    const read = await readAccount(paths, 'clinic', [], { publicKey: identity.publicKey });
    expect(read.elsewhere.map(({ dataset }) => dataset).sort()).toEqual(['archive', 'letters']);
  });

  it('attack: a data set under another name goes on with what its records have spent', async () => {
    await round('clinic', [1, 2, 3]);
    await round('clinic', [1, 2, 3]);
    const old = await open('clinic');
    const renamed = await open('clinic-2', {
      onInherited: (datasets) => expect(datasets).toEqual(['clinic']),
    });
    expect(epsilonOf(renamed)).toBe(0);
    expect(await renamed.recognise(rows(1, 2, 3), 1)).toBe(true);
    expect(spent(renamed)).toEqual(spent(old));
    expect(epsilonOf(renamed)).toBe(epsilonOf(old));
    await renamed.record(charge('r3'), 2);
    expect(epsilonOf(renamed)).toBeGreaterThan(epsilonOf(old));
  });

  it('one record of another data set is enough, and none is not', async () => {
    await round('a', [1, 2, 3]);
    expect(await round('b', [4, 5, 6])).toEqual(['b-1']);
    expect(await round('c', [3, 7])).toEqual(['a-1', 'c-2']);
    // Over two names: the records of both count, those of `c` that `d` has not, too, since they may be the same.
    expect(await round('d', [7, 5])).toEqual(['b-1', 'c-2', 'd-3']);
  });

  it('records that are taken out, or were there for one round only, lower nothing', async () => {
    await round('a', [1, 2]);
    await round('b', [1, 9]);
    expect(await round('b', [9])).toEqual(['a-1', 'b-2', 'b-3']);
    // A record that `b` had once and that `a` never had.
    expect(await round('c', [9])).toEqual(['b-2', 'b-3', 'c-3']);
  });

  it('records that come later are recognised in the round in which they come', async () => {
    await round('a', [1, 2]);
    expect(await round('b', [8])).toEqual(['b-1']);
    expect(await round('b', [8, 2])).toEqual(['a-1', 'b-1', 'b-3']);
  });

  it('going back to the first name brings what was spent under the second', async () => {
    await round('a', [1]);
    await round('b', [1]);
    expect(await round('a', [1])).toEqual(['b-2', 'a-1', 'a-3']);
  });

  it('counts nothing of a data set that the owner says is unrelated, and counts it again when the owner takes that back', async () => {
    await round('a', [1, 2]);
    expect(await round('b', [2, 3], { unrelated: ['a'] })).toEqual(['b-1']);
    expect(spent(await open('b', { unrelated: ['a'] }))).toEqual(['b-1']);
    expect(spent(await open('b'))).toEqual(['a-1', 'b-1']);
  });

  it('after a restart, and read by a command, has the same charges', async () => {
    await round('a', [1]);
    await round('b', [1]);
    const again = await open('b');
    expect(spent(again)).toEqual(['a-1', 'b-2']);
    const { charges, inheritedFrom } = await readAccount(paths, 'b', [], identity);
    expect(charges).toEqual(again.entries);
    expect(inheritedFrom).toEqual(['a']);
    expect((await readAccount(paths, 'never', [], identity)).charges).toEqual([]);
  });

  it('writes once for the same rows, and nothing that tells them without the key', async () => {
    const account = await open('a');
    const same = rows(1, 2);
    await account.recognise(same, 1);
    await account.recognise(same, 2);
    await account.recognise(rows(2, 1), 3);
    expect(await readFile(paths.ledger('a'), 'utf8')).toMatch(/^[^\n]*"kind":"records"[^\n]*\n$/);
    expect((await readFile(paths.records('a'))).length).toBe(16);
  });

  describe('where it cannot be told which records another data set had, counts it', () => {
    const before = async (): Promise<void> => void (await round('a', [1, 2, 3]));
    it.each<[string, () => Promise<void>]>([
      [
        'its ledger is older than this memory',
        async () => {
          const old = await Ledger.open(paths.ledger('a'), 'a', identity);
          await old.record(charge('a-1'), 1);
          await old.close();
        },
      ],
      ['its file of records is lost', async () => before().then(() => rm(paths.records('a')))],
      ['its file of records is cut short', async () => before().then(() => truncate(paths.records('a'), 8))],
      [
        'its file of records is another',
        async () => before().then(() => writeFile(paths.records('a'), Buffer.alloc(24, 7))),
      ],
    ])('%s', async (_why, prepare) => {
      await prepare();
      expect(await round('b', [100])).toEqual(['a-1', 'b-2']);
      // What was lost stays lost, whatever is remembered from now on.
      await round('a', [1, 2, 3]);
      expect(await round('c', [200])).toContain('a-1');
      expect(await round('d', [300], { unrelated: ['a', 'b', 'c'] })).toEqual(['d-1']);
    });

    it('the key is another', async () => {
      await round('a', [1]);
      expect(await round('b', [100], { recordKey: new Uint8Array(32).fill(2) })).toEqual(['a-1', 'b-2']);
    });
  });

  it('refuses to open where the ledger of a data set that shared records is gone, or was changed', async () => {
    await round('a', [1]);
    await round('b', [1]);
    await rm(paths.ledger('a'));
    await expect(open('b')).rejects.toMatchObject({ code: 'ledger/tampered', where: paths.ledger('a') });
    await writeFile(paths.ledger('a'), await readFile(paths.ledger('b')));
    await expect(open('b')).rejects.toThrow(/is of another data set/);
    await writeFile(paths.ledger('a'), '{}\n');
    await expect(open('b')).rejects.toMatchObject({ code: 'ledger/tampered', where: paths.ledger('a') });
  });

  it('survives a kill in the middle of writing the records: a piece of one is dropped, and what is there once too often harms nobody', async () => {
    await round('a', [1]);
    await appendFile(paths.records('a'), Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9]));
    expect(await round('a', [1, 3])).toEqual(['a-1', 'a-2']);
    expect((await readFile(paths.records('a'))).length).toBe(24);
    expect(await round('b', [3])).toEqual(['a-1', 'a-2', 'b-3']);
    expect(await round('c', [77])).toEqual(['c-1']);
  });

  it('has no charge on disk whose records are not', async () => {
    const account = await open('a');
    await account.recognise(rows(5), 1);
    const lines = (await readFile(paths.ledger('a'), 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(1);
    expect((await readFile(paths.records('a'))).readBigUInt64LE()).toBe(5n);
  });

  it('keeps what was shared when the identity key changes', async () => {
    await round('a', [1]);
    await round('b', [1]);
    const next = await createIdentity(join(folder, 'next.key'));
    for (const dataset of ['a', 'b'])
      await handOver(paths.ledger(dataset), dataset, { from: identity, to: next, at: 5 });
    expect(spent(await open('b', { identity: next }))).toEqual(['a-1', 'b-2']);
    expect(readLedger(await readFile(paths.ledger('b'), 'utf8'), next).recordsNotes).toMatchObject([
      { sequence: 1, count: 1, isWhole: true, sharedWith: ['a'] },
    ]);
  });

  it('counts for every record all that it was ever charged for, whatever data sets it went through (property)', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const set = fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, set), { minLength: 1, maxLength: 8 }), async (story) => {
        for (const dataset of ['a', 'b', 'c', 'd']) {
          await rm(paths.ledger(dataset), { force: true });
          await rm(paths.records(dataset), { force: true });
        }
        const charged = new Map<number, Set<string>>();
        for (const [i, [dataset, numbers]] of story.entries()) {
          const account = await open(dataset);
          await account.recognise(rows(...numbers), i);
          await account.record(charge(`r${i}`), i);
          await account.close();
          for (const number of numbers) {
            const rounds = charged.get(number) ?? new Set();
            charged.set(number, rounds.add(`r${i}`));
            expect(spent(account)).toEqual(expect.arrayContaining([...rounds]));
          }
        }
      }),
      { numRuns: 25 },
    );
  });
});
