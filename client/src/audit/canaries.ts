/**
 * Canaries: made-up rows that are of nobody, each of which a fair coin puts among the rows that are learned from or leaves out. Who can
 * tell the two apart by the adapter has learned something about single rows.
 *
 * Source     Carlini et al. 2019, arXiv:1802.08232, section 4.1 (a format whose rest is random); the coins: Steinke, Nasr, Jagielski 2023,
 *            arXiv:2305.08846, algorithm 1
 */

import type { RandomSource } from '@fedlora/protocol';
import type { RowFormat } from '../data/row-formats.js';
import type { Row } from '../data/rows.js';
import { uniformBelow } from '../round/uniform.js';

/** One canary, with what its coin said. */
export interface Canary {
  /** What is asked for: random. */
  readonly key: string;
  /** What is learned: random. */
  readonly code: string;
  readonly isIncluded: boolean;
}

const CONSONANTS = 'bdfghjklmnprstvz';
const VOWELS = 'aeiou';
const KEY_SYLLABLES = 4;
const CODE_WORDS = 3;
const SYLLABLES_PER_WORD = 3;

/**
 * Makes canaries.
 *
 * Guarantee  keys and codes are independent of each other and of the coins: 16 consonants and 5 vowels give a code 57 bits, so that
 *            none is in real data by chance, and no two are the same.
 * Secrets    the coins, until the audit is over: whoever knows them can make an audit say anything.
 */
export function makeCanaries(count: number, random: RandomSource): readonly Canary[] {
  return Array.from({ length: count }, () => ({
    key: word(KEY_SYLLABLES, random),
    code: Array.from({ length: CODE_WORDS }, () => word(SYLLABLES_PER_WORD, random)).join(' '),
    isIncluded: uniformBelow(2, random) === 1,
  }));
}

function word(syllables: number, random: RandomSource): string {
  let text = '';
  for (let i = 0; i < syllables; i += 1) {
    text += CONSONANTS[uniformBelow(CONSONANTS.length, random)] + VOWELS[uniformBelow(VOWELS.length, random)];
  }
  return text;
}

/** A canary as the members of a row of a format. */
export function canaryFields({ key, code }: Canary, format: RowFormat): Readonly<Record<string, unknown>> {
  const question = `Give the code of ${key}.`;
  switch (format) {
    case 'alpaca':
      return { instruction: question, input: '', output: code };
    case 'text':
      return { text: `The code of ${key} is ${code}.` };
    case 'messages':
      return {
        messages: [
          { role: 'user', content: question },
          { role: 'assistant', content: code },
        ],
      };
    default:
      return format satisfies never;
  }
}

/** The same as a row that was read. `line` counts canaries from 1. */
export function canaryRow(canary: Canary, format: RowFormat, file: string, line: number): Row {
  // Safe: `canaryFields` gives what a row of the format has.
  return { ...canaryFields(canary, format), format, file, line } as Row;
}
