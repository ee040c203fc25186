/**
 * MedQuAD's institutes as organisations: how an answer of an institute begins, and what kind of question about a disease it answers.
 * Some of the institutes that are no organisations are public.
 *
 * Source     Ben Abacha and Demner-Fushman 2019, "A Question-Entailment Approach to Question Answering"; CC BY 4.0
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainingTokenizer } from '@fedlora/client';
import type { Row } from '../demo/organisations.js';
import { labelsInWords } from './labels-in-words.js';
import type { DatasetPreset } from './presets.js';
import { requireFolder, sampled, tokenized, type DatasetSources, type StudyData } from './study-data.js';

/** Those with the most kinds of questions. */
const ORGANISATIONS = ['CancerGov', 'GARD', 'NHLBI', 'NIDDK', 'SeniorHealth'];
const PUBLIC = ['CDC', 'GHR', 'NINDS'];
/** Tokens of an answer that are shown. */
const TEXT_TOKENS = 48;
/** Characters that have as many tokens in any case, so that no long answer is tokenized. */
const TEXT_CHARACTERS = 480;
/** An answer may begin with its question, which names the kind: within so many characters. */
const QUESTION_CHARACTERS = 200;
const LEAST_CHARACTERS = 40;
/** Of the organisations together; rarer kinds of questions are left out. */
const LEAST_ROWS_OF_KIND = 30;
const HELD_OUT = 0.25;
/** Of public rows, which are the same for every seed of a study. */
const PUBLIC_SEED = 7;
/** The same words in 2365 answers, before a table. */
const TEMPLATE = 'The Human Phenotype Ontology provides the following list';
/** A link to a translation, which only some kinds of pages have. */
const TRANSLATION = /^Espaol\s+/;

/** A row of MedQuAD, as far as it is read. */
export interface MedquadRow {
  readonly output: string;
  readonly qtype: string;
  /** The disease. */
  readonly focus: string;
}

export async function medquad(
  preset: DatasetPreset,
  { data, tokenizer }: DatasetSources,
  seed: number,
): Promise<StudyData> {
  const folder = join(data, 'medquad-by-org');
  await requireFolder(folder);
  const read = async (name: string): Promise<readonly MedquadRow[]> =>
    // Safe: the files of the data set are as its readme says.
    readable(JSON.parse(await readFile(join(folder, `${name}.json`), 'utf8')) as MedquadRow[]);
  const names = ORGANISATIONS.slice(0, preset.organisations);
  const all = await Promise.all(names.map(read));
  const kinds = commonKinds(all.flat());
  const examplesOf = (rows: readonly MedquadRow[]): StudyData['publicExamples'] =>
    tokenized(
      rows.map((row) => asTask(row, tokenizer)),
      tokenizer,
    );
  const organisations = names.map((name, i) => {
    const own = all[i].filter(({ qtype }) => kinds.has(qtype));
    return {
      name,
      training: examplesOf(
        sampled(
          own.filter(({ focus }) => !isHeldOut(focus)),
          preset.rows,
          seed,
        ),
      ),
      test: examplesOf(
        sampled(
          own.filter(({ focus }) => isHeldOut(focus)),
          preset.testRows,
          seed,
        ),
      ),
    };
  });
  if (preset.warmStart === undefined) return { organisations, publicExamples: [] };
  const institutes = await Promise.all(PUBLIC.map(read));
  const publicRows = institutes
    .flatMap((rows) =>
      sampled(
        rows.filter(({ focus }) => !isHeldOut(focus)),
        preset.rows,
        PUBLIC_SEED,
      ),
    )
    .map((row) => asTask(row, tokenizer));
  const known = commonKinds(institutes.flat());
  const made = labelsInWords(
    [...kinds].filter((kind) => !known.has(kind)).sort(),
    publicRows.map(({ instruction }) => instruction),
  );
  return { organisations, publicExamples: tokenized([...publicRows, ...made], tokenizer) };
}

/** What can be learned from: answers that begin with text of their own, each text once, without the question it answers. */
export function readable(rows: readonly MedquadRow[]): readonly MedquadRow[] {
  const texts = new Map<string, MedquadRow>();
  for (const row of rows) {
    const begun = row.output.replace(TRANSLATION, '');
    const text = begun
      .slice(begun.lastIndexOf('?', QUESTION_CHARACTERS) + 1)
      .trim()
      .slice(0, TEXT_CHARACTERS);
    if (text.length < LEAST_CHARACTERS || text.startsWith(TEMPLATE) || texts.has(text)) continue;
    texts.set(text, { ...row, output: text });
  }
  return [...texts.values()];
}

/** Whether a disease is for tests: with every seed, and whichever institute writes of it. */
export function isHeldOut(focus: string): boolean {
  const [byte] = createHash('sha256').update(focus.trim().toLowerCase()).digest();
  return byte < HELD_OUT * 256;
}

function commonKinds(rows: readonly MedquadRow[]): ReadonlySet<string> {
  const counts = new Map<string, number>();
  for (const { qtype } of rows) counts.set(qtype, (counts.get(qtype) ?? 0) + 1);
  return new Set([...counts].filter(([, count]) => count >= LEAST_ROWS_OF_KIND).map(([kind]) => kind));
}

function asTask({ output, qtype }: MedquadRow, tokenizer: TrainingTokenizer): Row {
  return { instruction: tokenizer.decode(tokenizer.encode(output).slice(0, TEXT_TOKENS)), input: '', output: qtype };
}
