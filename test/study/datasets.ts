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
export async function openDataset(
  preset: DatasetPreset,
  sources: DatasetSources,
  seed: number,
): Promise<readonly StudyOrganisation[]> {
  switch (preset.name) {
    case 'demo':
      return demo(preset, sources, seed);
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
 * CLINC150's domains as organisations: people's questions, and which of 15 things of the domain they want.
 *
 * Source     Larson et al. 2019, "An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction"
 */
async function clinc150(
  preset: DatasetPreset,
  { data, tokenizer }: DatasetSources,
  seed: number,
): Promise<readonly StudyOrganisation[]> {
  const folder = join(data, 'clinc150', 'alpaca-by-domain');
  const found = await access(folder).then(
    () => true,
    () => false,
  );
  if (!found) throw new MissingData(`${folder} is not there: --data DIR says where the data sets are.`);
  const files = (await readdir(folder)).filter((file) => file.endsWith('.train.json')).sort();
  const names = files.slice(0, preset.organisations).map((file) => file.replace('.train.json', ''));
  const read = async (file: string, count: number): Promise<readonly Example[]> => {
    const { rows } = await readRows([join(folder, file)], { format: 'alpaca' });
    const examples = tokenizeRows(rows, tokenizer, { maximumLength: MAXIMUM_LENGTH }).examples;
    return sampled(examples, count, seed);
  };
  return Promise.all(
    names.map(async (name) => ({
      name,
      training: await read(`${name}.train.json`, preset.rows),
      test: await read(`${name}.test.json`, preset.testRows),
    })),
  );
}

function tokenized(rows: readonly Row[], tokenizer: TrainingTokenizer): readonly Example[] {
  const read = rows.map((row, i) => ({ ...row, format: 'alpaca', file: 'demo', line: i + 1 }) as const);
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
