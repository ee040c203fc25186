import { describe, expect, it } from 'vitest';
import { findDuplicates, HASHES, minHash, similarity } from './near-duplicates.js';

const shingles = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `shingle ${from + i}`);

describe('minHash', () => {
  it.each([0.1, 0.5, 0.8, 0.95])('of sets with Jaccard similarity %f agrees in that share of hashes', (jaccard) => {
    // |A| = |B| = n, overlap o: J = o / (2n - o).
    const n = 400;
    const overlap = Math.round((2 * n * jaccard) / (1 + jaccard));
    const exact = overlap / (2 * n - overlap);
    const trials = 40;
    let sum = 0;
    for (let trial = 0; trial < trials; trial++) {
      const from = trial * 10_000;
      sum += similarity(
        minHash(shingles(from, from + n)),
        minHash(shingles(from + n - overlap, from + 2 * n - overlap)),
      );
    }
    // Six standard deviations of the mean.
    expect(Math.abs(sum / trials - exact)).toBeLessThan(6 * Math.sqrt((exact * (1 - exact)) / (HASHES * trials)));
  });
});

describe('findDuplicates', () => {
  const story = Array.from({ length: 120 }, (_, i) => `word${(i * 37) % 101}`).join(' ');

  it('counts rows that differ in case and space only as the same, and finds the first of them', () => {
    expect(findDuplicates(['Hello, World', 'else', 'hello   world!', 'HELLO WORLD'], 5)).toEqual({
      exact: 2,
      near: 0,
      examples: [
        [0, 2],
        [0, 3],
      ],
    });
  });

  it('counts a long row with one word changed as nearly the same, and one with half of it changed as another', () => {
    const words = story.split(' ');
    const oneChanged = words.map((word, i) => (i === 60 ? 'other' : word)).join(' ');
    const halfChanged = words.map((word, i) => (i < 60 ? `${word}x` : word)).join(' ');
    expect(findDuplicates([story, oneChanged, halfChanged], 5)).toEqual({ exact: 0, near: 1, examples: [[0, 1]] });
  });

  it('takes short rows with different words for different rows, and finds nothing in nothing', () => {
    expect(findDuplicates(['yes', 'no', 'yes please', ''], 5)).toMatchObject({ exact: 0, near: 0 });
    expect(findDuplicates([], 5)).toEqual({ exact: 0, near: 0, examples: [] });
  });

  it('keeps as many examples as were asked for, and counts all', () => {
    expect(findDuplicates(Array(10).fill('the same'), 2)).toMatchObject({ exact: 9, examples: { length: 2 } });
  });
});
