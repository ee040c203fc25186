import type { Batch } from '@fedlora/client';

const FIRST_ORDINARY_TOKEN = 3;

/** Rows of `length` tokens whose last two thirds are answer, as in instruction data. The same for every caller. */
export function seededBatch(examples: number, length: number, vocabulary: number): Batch {
  const ids = new Int32Array(examples * length);
  const answerMask = new Uint8Array(examples * length);
  let state = 1;
  for (let i = 0; i < ids.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    ids[i] = FIRST_ORDINARY_TOKEN + ((state >>> 8) % (vocabulary - FIRST_ORDINARY_TOKEN));
    answerMask[i] = i % length >= length / 3 ? 1 : 0;
  }
  return { examples, length, ids, answerMask };
}
