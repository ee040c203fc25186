import { seededRandom } from '@fedlora/protocol/node';
import { describe, expect, it } from 'vitest';
import type { Batch } from './engine.js';
import { generateTokens } from './generate.js';
import { greedyToken, sampledToken } from './sampling.js';

/** Says the token after the last one, of ten; keeps nothing of earlier tokens. */
const counting = {
  maximumLength: 12,
  logits: async ({ ids }: Batch, lengths: Int32Array) =>
    Float32Array.from({ length: 10 }, (_, id) => (id === (ids[lengths[0] - 1] + 1) % 10 ? 5 : 0)),
};

async function all(tokens: AsyncGenerator<number>): Promise<number[]> {
  const ids = [];
  for await (const id of tokens) ids.push(id);
  return ids;
}

describe('generateTokens', () => {
  it('stops before a token that ends the text', async () => {
    expect(await all(generateTokens(counting, [1, 2], { maximumTokens: 9, endIds: new Set([6, 0]) }))).toEqual([
      3, 4, 5,
    ]);
  });

  it('stops after the number of tokens that was asked for', async () => {
    expect(await all(generateTokens(counting, [7], { maximumTokens: 4, endIds: new Set() }))).toEqual([8, 9, 0, 1]);
  });

  it('stops when the model has no position left', async () => {
    const ids = await all(generateTokens(counting, [0, 1, 2], { maximumTokens: 99, endIds: new Set() }));
    expect(ids).toHaveLength(12 - 3 + 1);
  });

  it('draws the same tokens from the same seed, and others from another', async () => {
    const drawn = (seed: number): Promise<number[]> => {
      const sampling = { temperature: 3, top_k: 0, top_p: 1, random: seededRandom(seed) };
      return all(generateTokens(counting, [0], { maximumTokens: 11, endIds: new Set(), sampling }));
    };
    expect(await drawn(1)).toEqual(await drawn(1));
    expect(await drawn(1)).not.toEqual(await drawn(2));
  });
});

describe('sampledToken', () => {
  // Probabilities 0.5, 0.3, 0.2 of tokens 2, 0, 1.
  const logits = Float32Array.of(Math.log(0.3), Math.log(0.2), Math.log(0.5));
  const shares = (options: { temperature?: number; top_k?: number; top_p?: number }): number[] => {
    const counts = [0, 0, 0];
    const grid = 10_000;
    for (let i = 0; i < grid; i++)
      counts[sampledToken(logits, { temperature: 1, top_k: 0, top_p: 1, ...options }, i / grid)] += 1 / grid;
    return counts;
  };

  it.each([
    ['all tokens with their probabilities', {}, [0.3, 0.2, 0.5]],
    ['the likely more often at a low temperature', { temperature: 0.5 }, [9 / 38, 4 / 38, 25 / 38]],
    ['only the top_k likeliest', { top_k: 2 }, [3 / 8, 0, 5 / 8]],
    ['only the fewest that reach top_p, the one that crosses it included', { top_p: 0.6 }, [3 / 8, 0, 5 / 8]],
    ['top_p of what temperature and top_k left', { top_k: 2, top_p: 0.62 }, [0, 0, 1]],
    ['the likeliest alone where top_p is 0', { top_p: 0 }, [0, 0, 1]],
  ])('draws %s', (_, options, expected) => {
    shares(options).forEach((share, id) => expect(share).toBeCloseTo(expected[id], 3));
  });
});

describe('greedyToken', () => {
  it('takes the first of equally likely tokens', () => {
    expect(greedyToken(Float32Array.of(1, 3, 3, 2))).toBe(1);
  });
});
