import { describe, expect, it } from 'vitest';
import { UploadProgress } from './upload-progress.js';

async function* pieces(...lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  for (const length of lengths) yield new Uint8Array(length);
}

describe('the progress of uploads', () => {
  it('counts from where a piece begins, and only what its reader has stored', async () => {
    const progress = new UploadProgress({ tell: () => undefined, isOpen: () => true, now: () => 0 });
    const seen: number[] = [];
    for await (const _chunk of progress.counting('r', 2, 100, pieces(10, 20))) seen.push(progress.of('r', 2));
    expect([...seen, progress.of('r', 2)]).toEqual([0, 110, 130]);
    expect(progress.of('r', 1)).toBe(0);
    progress.forget('r');
    expect(progress.of('r', 2)).toBe(0);
  });

  it('is not remembered of a piece that still comes when its round has ended', async () => {
    const open = new Set(['r']);
    const progress = new UploadProgress({
      tell: () => undefined,
      isOpen: (roundId) => open.has(roundId),
      now: () => 0,
    });
    for await (const _chunk of progress.counting('r', 2, 0, pieces(10, 20))) {
      open.delete('r');
      progress.forget('r');
    }
    expect(progress.of('r', 2)).toBe(0);
  });

  it('is told at most once a second for each round', async () => {
    const told: string[] = [];
    let now = 0;
    const progress = new UploadProgress({ tell: (roundId) => told.push(roundId), isOpen: () => true, now: () => now });
    const upload = async (roundId: string): Promise<void> => {
      for await (const _chunk of progress.counting(roundId, 0, 0, pieces(1, 1, 1)));
    };
    await upload('r');
    await upload('other');
    now = 999;
    await upload('r');
    now = 1_000;
    await upload('r');
    expect(told).toEqual(['r', 'other', 'r']);
  });
});
