import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { wordsToBytes } from '@fedlora/protocol';
import { seededRandom } from '@fedlora/protocol/node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ContributionStore } from '../storage/contribution-store.js';
import { FolderBlobs } from '../storage/folder-blobs.js';
import { GrowingFiles, GrowingObjects, type GrowingBlobs } from '../storage/growing-blobs.js';
import { rangesOf, sumRange } from './range-sums.js';

const ROUND = 'round-1';
const survivors = [0, 2, 3];

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-ranges-'));
});
afterEach(() => rm(folder, { recursive: true }));

const stores: readonly [string, () => Promise<GrowingBlobs>][] = [
  ['files', () => Promise.resolve(new GrowingFiles(folder))],
  [
    'objects',
    async () => {
      for (const name of ['objects', 'arriving']) await mkdir(join(folder, name));
      return new GrowingObjects(new FolderBlobs(join(folder, 'objects')), join(folder, 'arriving'));
    },
  ],
];

/** Words of a participant, all of 32 bits. */
function wordsOf(participant: number, length: number): Uint32Array {
  return new Uint32Array(seededRandom(`words/${participant}`)(4 * length).slice().buffer);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(bytes);
}

/** Stores contributions in pieces that end within words. */
async function store(contributions: ContributionStore, length: number, pieceBytes: number): Promise<void> {
  const totalBytes = 4 * length;
  for (const participant of survivors) {
    const bytes = wordsToBytes(wordsOf(participant, length));
    for (let at = 0; at < totalBytes; at += pieceBytes)
      await contributions.append(
        { roundId: ROUND, participant, totalBytes },
        at,
        once(bytes.subarray(at, at + pieceBytes)),
        totalBytes,
      );
  }
}

describe('ranges of a sum', () => {
  it('cover every word once, in order, and the last one is what is left', () => {
    expect(rangesOf(10, 4)).toEqual([
      { from: 0, to: 4 },
      { from: 4, to: 8 },
      { from: 8, to: 10 },
    ]);
    expect(rangesOf(8, 4)).toHaveLength(2);
    expect(rangesOf(3, 4)).toEqual([{ from: 0, to: 3 }]);
  });

  describe.each(stores)('over %s', (_, open) => {
    it.each([
      { length: 1, words: 4, pieceBytes: 3 },
      { length: 103, words: 10, pieceBytes: 37 },
      { length: 100, words: 10, pieceBytes: 40 },
      { length: 101, words: 100, pieceBytes: 1000 },
    ])(
      'put together are the sum of all words modulo 2^32: $length words, $words in a range',
      async ({ length, words, pieceBytes }) => {
        const contributions = new ContributionStore(await open());
        await store(contributions, length, pieceBytes);
        const stored = {
          survivors,
          length,
          contribution: (survivor: number, bytes: { readonly from: number; readonly to?: number }) =>
            contributions.read(ROUND, survivor, bytes),
        };
        const together: number[] = [];
        for (const range of rangesOf(length, words)) together.push(...(await sumRange(stored, range)).words);
        const all = survivors.map((survivor) => wordsOf(survivor, length));
        const expected = Array.from({ length }, (_, i) => all.reduce((sum, one) => (sum + one[i]) >>> 0, 0));
        expect(together).toEqual(expected);
        expect([...(await sumRange(stored, { from: 0, to: length })).words]).toEqual(expected);
      },
    );

    it('are refused where a contribution has fewer or more words than the round', async () => {
      const contributions = new ContributionStore(await open());
      await store(contributions, 10, 40);
      const stored = (length: number) => ({
        survivors,
        length,
        contribution: (survivor: number, bytes: { readonly from: number; readonly to?: number }) =>
          contributions.read(ROUND, survivor, bytes),
      });
      const refused = { code: 'upload/wrong-length' };
      await expect(sumRange(stored(11), { from: 8, to: 11 })).rejects.toMatchObject(refused);
      await expect(sumRange(stored(9), { from: 8, to: 9 })).rejects.toMatchObject(refused);
    });

    it('are kept with the round, and go with it', async () => {
      const blobs = await open();
      const contributions = new ContributionStore(blobs);
      await store(contributions, 10, 40);
      for (const last of [1, 2]) {
        await contributions.putPartialSum(ROUND, { from: 4, to: 5 }, Uint8Array.of(last, 0, 0, 0));
        const read: Uint8Array[] = [];
        for await (const piece of contributions.readPartialSum(ROUND, { from: 4, to: 5 })) read.push(piece);
        expect(Buffer.concat(read)).toEqual(Buffer.of(last, 0, 0, 0));
      }
      await contributions.scrub(ROUND);
      expect((await blobs.groups()).filter((group) => group === ROUND)).toEqual([]);
    });
  });
});
