import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ContributionStore } from './contribution-store.js';
import { GrowingFiles } from './growing-blobs.js';

const of = { roundId: 'run-1.round-1', participant: 0, totalBytes: 8 };
const LIMIT = 1 << 20;

let folder: string;
let store: ContributionStore;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-contributions-'));
  store = new ContributionStore(new GrowingFiles(folder));
});
afterEach(() => rm(folder, { recursive: true }));

async function* pieces(...chunks: (Uint8Array | Promise<unknown>)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    if (chunk instanceof Uint8Array) yield chunk;
    else await chunk;
  }
}

describe('ContributionStore', () => {
  it('goes on where the last piece ended', async () => {
    expect(await store.append(of, 0, pieces(new Uint8Array(3)), LIMIT)).toBe(3);
    await expect(store.append(of, 0, pieces(new Uint8Array(3)), LIMIT)).rejects.toMatchObject({
      code: 'upload/wrong-offset',
    });
    expect(await store.append(of, 3, pieces(new Uint8Array(5)), LIMIT)).toBe(8);
  });

  it.each([
    ['before its first byte', []],
    ['in the middle', [new Uint8Array(4)]],
    ['after its last byte', [new Uint8Array(8)]],
  ])(
    'answers that the round is over when it is scrubbed while a piece arrives, %s, and keeps nothing',
    async (_, first) => {
      let isScrubbed: () => void = () => undefined;
      const scrubbed = new Promise<void>((resolve) => (isScrubbed = resolve));
      const appending = store.append(
        of,
        0,
        pieces(...first, scrubbed, new Uint8Array(8 - (first[0]?.length ?? 0))),
        LIMIT,
      );
      const refusal = expect(appending).rejects.toMatchObject({ code: 'round/over' });
      await store.scrub(of.roundId);
      isScrubbed();
      await refusal;
      expect(await readdir(folder)).toEqual([]);
      expect(store.isReceiving(of.roundId, of.participant)).toBe(false);
    },
  );
});
