import { describe, expect, it } from 'vitest';
import { toBatches } from './batches.js';
import type { Example } from './tokenize.js';

const example = (length: number, answerStart = 1): Example => ({
  ids: Int32Array.from({ length }, (_, i) => i + 1),
  answerStart,
  row: 0,
});
const options = { maximumExamples: 4, maximumTokens: 64, multipleOf: 8 };

describe('toBatches', () => {
  it('holds every example once, and no batch over its limits', () => {
    const examples = Array.from({ length: 50 }, (_, i) => example(2 + ((i * 7) % 40)));
    const indices = examples.map((_, i) => i).filter((i) => i % 3 !== 0);
    const batches = toBatches(examples, indices, options);
    expect(batches.flatMap(({ indices: held }) => held).sort((a, b) => a - b)).toEqual(indices);
    for (const { examples: count, length, indices: held } of batches) {
      expect(held).toHaveLength(count);
      expect(count).toBeLessThanOrEqual(4);
      expect(length % 8).toBe(0);
      if (count > 1) expect(count * length).toBeLessThanOrEqual(64);
    }
  });

  it('pads on the right and masks answers only', () => {
    const [batch] = toBatches([example(3, 2), example(5, 1)], [0, 1], { ...options, padId: 9 });
    expect(batch).toMatchObject({ examples: 2, length: 8, indices: [1, 0] });
    expect([...batch.ids]).toEqual([1, 2, 3, 4, 5, 9, 9, 9, 1, 2, 3, 9, 9, 9, 9, 9]);
    expect([...batch.answerMask]).toEqual([0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
  });

  it('does not depend on the order of the indices', () => {
    const examples = [example(5), example(5), example(9), example(3), example(5)];
    expect(toBatches(examples, [4, 2, 0, 3, 1], options)).toEqual(toBatches(examples, [0, 1, 2, 3, 4], options));
  });

  it('rounds no length beyond what the model takes', () => {
    expect(toBatches([example(18)], [0], { ...options, maximumLength: 20 })[0].length).toBe(20);
  });

  it('gives an example over the limit of tokens a batch of its own', () => {
    expect(toBatches([example(100), example(2)], [0, 1], options).map(({ examples: count }) => count)).toEqual([1, 1]);
  });

  it('refuses an example twice, and one that is not there', () => {
    expect(() => toBatches([example(2)], [0, 0], options)).toThrow(/twice/);
    expect(() => toBatches([example(2)], [1], options)).toThrow(/no such example/);
  });

  it('makes no batch of nothing', () => {
    expect(toBatches([example(2)], [], options)).toEqual([]);
  });
});
