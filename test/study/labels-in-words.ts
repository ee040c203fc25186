/** Rows for labels that nobody's public rows have, made of the labels' names. */

import { seededUniform, type Row } from '../demo/organisations.js';

const ROWS_A_LABEL = 100;
const WORD_KEPT = 0.8;
const ORDER_TURNED = 0.3;
const PHRASED = 0.4;
/** Words of a public question that a label's words take the place of, fewer than this. */
const WORDS_REPLACED = 4;
const PHRASES = [
  '{}',
  '{} please',
  'i need {}',
  'what about my {}',
  'tell me about {}',
  'can you help me with {}',
  'what is the {}',
  'how do i {}',
  'i want to {}',
  'is there {}',
  'can you {} for me',
  'do you know {}',
];

/**
 * Requests with a label's own words, some left out, in phrases or amid a public question: what can be written by whoever knows the names
 * of the labels, which every member of a run does, and nobody's private questions.
 */
export function labelsInWords(labels: readonly string[], publicQuestions: readonly string[]): readonly Row[] {
  const uniform = seededUniform(7);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(uniform() * items.length)];
  return labels.flatMap((output) =>
    Array.from({ length: ROWS_A_LABEL }, () => {
      const all = output.split(/[_ ]/);
      const some = all.filter(() => uniform() < WORD_KEPT);
      const kept = some.length > 0 ? some : all;
      const words = uniform() < ORDER_TURNED ? kept.toReversed() : kept;
      const question = pick(publicQuestions).split(' ');
      const at = Math.floor(uniform() * (question.length + 1));
      question.splice(at, Math.floor(uniform() * WORDS_REPLACED), ...words);
      const isPhrased = uniform() < PHRASED;
      const instruction = isPhrased ? pick(PHRASES).replace('{}', words.join(' ')) : question.join(' ');
      return { instruction, input: '', output };
    }),
  );
}
