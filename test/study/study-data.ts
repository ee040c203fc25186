/** What a data set gives to a study, and how rows become examples. */

import { access } from 'node:fs/promises';
import { tokenizeRows, type Example, type TrainingTokenizer } from '@fedlora/client';
import { seededUniform, type Row } from '../demo/organisations.js';

export interface StudyOrganisation {
  readonly name: string;
  readonly training: readonly Example[];
  readonly test: readonly Example[];
}

/** The rows of a study with one seed. */
export interface StudyData {
  /** As many as any method of the preset trains with; most train with the first ones. */
  readonly organisations: readonly StudyOrganisation[];
  /** Rows that are nobody's secret, for a warm start; the same with every seed. Empty where the preset has none. */
  readonly publicExamples: readonly Example[];
}

/** Tokens of the longest example. */
export const MAXIMUM_LENGTH = 96;

/** Where rows come from. */
export interface DatasetSources {
  readonly phrases: string;
  /** Folder that has `clinc150` and `medquad-by-org`. */
  readonly data: string;
  readonly tokenizer: TrainingTokenizer;
}

/** A folder that the study needs is not there. */
export class MissingData extends Error {}

/** @throws MissingData */
export async function requireFolder(folder: string): Promise<void> {
  const isThere = await access(folder).then(
    () => true,
    () => false,
  );
  if (!isThere) throw new MissingData(`${folder} is not there: --data DIR says where the data sets are.`);
}

export function tokenized(rows: readonly Row[], tokenizer: TrainingTokenizer): readonly Example[] {
  const read = rows.map((row, i) => ({ ...row, format: 'alpaca', file: 'study', line: i + 1 }) as const);
  return tokenizeRows(read, tokenizer, { maximumLength: MAXIMUM_LENGTH }).examples;
}

/** So many of them, without order (Fisher and Yates); all, if there are no more. */
export function sampled<Item>(items: readonly Item[], count: number, seed: number): readonly Item[] {
  const uniform = seededUniform(seed);
  const left = [...items];
  for (let i = left.length - 1; i > 0; i -= 1) {
    const j = Math.floor(uniform() * (i + 1));
    [left[i], left[j]] = [left[j], left[i]];
  }
  return left.slice(0, count);
}
