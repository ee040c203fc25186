import { describe, expect, it } from 'vitest';
import { seededRandom } from '../node/random.js';
import { addWords } from './add-words.js';

describe('addWords', () => {
  const random = seededRandom('add words');
  const someWords = (length: number) => new Uint32Array(random(4 * length).buffer, 0, length);

  it.each([1, -1] as const)(
    'adds %d times each word modulo 2^32, whole turns of eight and the rest, and nothing else',
    (sign) => {
      for (const length of [0, 1, 7, 8, 9, 16, 23]) {
        for (const firstWord of [0, 3]) {
          const before = someWords(30);
          const words = someWords(length + 2).subarray(1, length + 1);
          const target = before.slice();
          addWords(target, words, sign, firstWord);
          const expected = before.map((word, i) => word + sign * (words[i - firstWord] ?? 0)); // below 2^33: the array reduces
          expect(target).toEqual(expected);
        }
      }
    },
  );

  it('wraps at both ends of the ring', () => {
    const target = Uint32Array.of(0xffffffff, 0, 0x7fffffff, 0x80000000, 0);
    const words = Uint32Array.of(1, 1, 1, 0x80000000, 0x80000000);
    addWords(target, words);
    expect([...target]).toEqual([0, 1, 0x80000000, 0, 0x80000000]);
    addWords(target, words, -1);
    expect([...target]).toEqual([0xffffffff, 0, 0x7fffffff, 0x80000000, 0]);
  });

  it('adds into a part of a larger array, and refuses to leave it', () => {
    const whole = new Uint32Array(10);
    addWords(whole.subarray(4, 8), Uint32Array.of(1, 2), 1, 1);
    expect([...whole]).toEqual([0, 0, 0, 0, 0, 1, 2, 0, 0, 0]);
    expect(() => addWords(whole.subarray(4, 8), new Uint32Array(3), 1, 2)).toThrow('past the end');
    expect(() => addWords(whole, new Uint32Array(1), 1, -1)).toThrow('past the end');
  });
});
