/** The rows of the study, split by the organisations that have them. */

import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readRows, tokenizeRows, type Example, type TrainingTokenizer } from '@fedlora/client';
import { generateDemoData, newPhrasingSet, seededUniform, type Row } from '../demo/organisations.js';
import type { DatasetPreset } from './presets.js';

export interface StudyOrganisation {
  readonly name: string;
  readonly training: readonly Example[];
  readonly test: readonly Example[];
}

/** The rows of a study with one seed. */
export interface StudyData {
  readonly organisations: readonly StudyOrganisation[];
  /** Rows that are nobody's secret, for a warm start; the same with every seed. Empty where the preset has none. */
  readonly publicExamples: readonly Example[];
}

/** Tokens of the longest example. */
export const MAXIMUM_LENGTH = 96;

/** Where rows come from. */
export interface DatasetSources {
  readonly phrases: string;
  /** Folder that has `clinc150`. */
  readonly data: string;
  readonly tokenizer: TrainingTokenizer;
}

/** A folder that the study needs is not there. */
export class MissingData extends Error {}

/** @throws MissingData */
export async function openDataset(preset: DatasetPreset, sources: DatasetSources, seed: number): Promise<StudyData> {
  switch (preset.name) {
    case 'demo':
      return { organisations: await demo(preset, sources, seed), publicExamples: [] };
    case 'clinc150':
      return clinc150(preset, sources, seed);
    default:
      return preset.name satisfies never;
  }
}

/** Requests that were made up for the demo, other ones for each seed; each organisation is tested in words that nobody trained on as well. */
async function demo(
  { organisations, rows, testRows }: DatasetPreset,
  { phrases, tokenizer }: DatasetSources,
  seed: number,
): Promise<readonly StudyOrganisation[]> {
  const options = { organisations, rowsPerOrganisation: rows, testRows, seed };
  const { training, tests } = await generateDemoData(phrases, options);
  return [...training].map(([name, own]) => ({
    name,
    training: tokenized(own, tokenizer),
    test: tokenized([...(tests.get(name) ?? []), ...(tests.get(newPhrasingSet(name)) ?? [])], tokenizer),
  }));
}

/**
 * CLINC150's domains as organisations: people's questions, and which of 15 things of the domain they want. The domains that come after
 * them in the alphabet are public.
 *
 * Source     Larson et al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction"
 */
async function clinc150(preset: DatasetPreset, { data, tokenizer }: DatasetSources, seed: number): Promise<StudyData> {
  const folder = join(data, 'clinc150', 'alpaca-by-domain');
  const found = await access(folder).then(
    () => true,
    () => false,
  );
  if (!found) throw new MissingData(`${folder} is not there: --data DIR says where the data sets are.`);
  const files = (await readdir(folder)).filter((file) => file.endsWith('.train.json')).sort();
  const names = files.map((file) => file.replace('.train.json', ''));
  const read = async (file: string): Promise<readonly Row[]> => {
    const { rows } = await readRows([join(folder, file)], { format: 'alpaca' });
    // What is asked for is the same in every row, and would only make them longer.
    return rows.flatMap((row) => (row.format === 'alpaca' ? { ...row, instruction: row.input, input: '' } : []));
  };
  const own = names.slice(0, preset.organisations);
  const training = await Promise.all(own.map((name) => read(`${name}.train.json`)));
  const organisations = own.map(async (name, i) => ({
    name,
    training: sampled(tokenized(training[i], tokenizer), preset.rows, seed),
    test: sampled(tokenized(await read(`${name}.test.json`), tokenizer), preset.testRows, seed),
  }));
  const publicRows =
    preset.warmStart === undefined
      ? []
      : (await Promise.all(names.slice(preset.organisations).map((name) => read(`${name}.train.json`)))).flat();
  const labels = new Set(preset.warmStart === undefined ? [] : training.flat().map(({ output }) => output));
  const made = labelsInWords(
    [...labels].sort(),
    publicRows.map(({ instruction }) => instruction),
  );
  return {
    organisations: await Promise.all(organisations),
    publicExamples: tokenized([...publicRows, ...made], tokenizer),
  };
}

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
      const all = output.split('_');
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

function tokenized(rows: readonly Row[], tokenizer: TrainingTokenizer): readonly Example[] {
  const read = rows.map((row, i) => ({ ...row, format: 'alpaca', file: 'study', line: i + 1 }) as const);
  return tokenizeRows(read, tokenizer, { maximumLength: MAXIMUM_LENGTH }).examples;
}

/** So many of them, without order (Fisher and Yates); all, if there are no more. */
function sampled<Item>(items: readonly Item[], count: number, seed: number): readonly Item[] {
  const uniform = seededUniform(seed);
  const left = [...items];
  for (let i = left.length - 1; i > 0; i -= 1) {
    const j = Math.floor(uniform() * (i + 1));
    [left[i], left[j]] = [left[j], left[i]];
  }
  return left.slice(0, count);
}
