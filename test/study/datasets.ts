/** The rows of the study, split by the organisations that have them. */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readRows } from '@fedlora/client';
import { generateDemoData, newPhrasingSet, type Row } from '../demo/organisations.js';
import { labelsInWords } from './labels-in-words.js';
import { medquad } from './medquad.js';
import { mostOrganisations, type DatasetPreset } from './presets.js';
import {
  requireFolder,
  sampled,
  tokenized,
  type DatasetSources,
  type StudyData,
  type StudyOrganisation,
} from './study-data.js';

/** @throws MissingData */
export async function openDataset(preset: DatasetPreset, sources: DatasetSources, seed: number): Promise<StudyData> {
  switch (preset.name) {
    case 'demo':
      return { organisations: await demo(preset, sources, seed), publicExamples: [] };
    case 'clinc150':
      return clinc150(preset, sources, seed);
    case 'medquad':
      return medquad(preset, sources, seed);
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
  await requireFolder(folder);
  const files = (await readdir(folder)).filter((file) => file.endsWith('.train.json')).sort();
  const names = files.map((file) => file.replace('.train.json', ''));
  const read = async (file: string): Promise<readonly Row[]> => {
    const { rows } = await readRows([join(folder, file)], { format: 'alpaca' });
    // What is asked for is the same in every row, and would only make them longer.
    return rows.flatMap((row) => (row.format === 'alpaca' ? { ...row, instruction: row.input, input: '' } : []));
  };
  const own = names.slice(0, mostOrganisations(preset));
  const training = await Promise.all(own.map((name) => read(`${name}.train.json`)));
  const organisations = own.map(async (name, i) => ({
    name,
    training: sampled(tokenized(training[i], tokenizer), preset.rows, seed),
    test: sampled(tokenized(await read(`${name}.test.json`), tokenizer), preset.testRows, seed),
  }));
  const publicRows =
    preset.warmStart === undefined
      ? []
      : (await Promise.all(names.slice(own.length).map((name) => read(`${name}.train.json`)))).flat();
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
