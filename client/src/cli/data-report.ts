/** What `fedlora data check` finds. For the owner's terminal only: nothing of it is logged or sent. */

import { FedloraError } from '@fedlora/shared';
import type { Duplicates } from '../data/near-duplicates.js';
import type { FindingKind } from '../data/personal/detectors.js';
import type { Survey } from '../data/personal/survey.js';
import { textsOf } from '../data/row-texts.js';
import { nameOfFormat, type GivenFormat, type GivenFormatName } from '../data/row-formats.js';
import { readRows } from '../data/rows.js';

export interface DataReport {
  readonly files: readonly string[];
  /** How the rows are written. */
  readonly format: GivenFormatName;
  readonly rows: number;
  /** Rows that training would use. */
  readonly usable: number;
  /** Their input would lose its end to fit. */
  readonly truncated: number;
  readonly maximumLength: number;
  /** Tokens of the usable rows; `null` without a base model. */
  readonly tokens: {
    readonly shortest: number;
    readonly median: number;
    readonly p95: number;
    readonly longest: number;
    readonly total: number;
    /** Rows with at most so many tokens and more than the one before: powers of two. */
    readonly histogram: readonly { readonly upTo: number; readonly rows: number }[];
  } | null;
  /** Of the rows that can be read. `examples` are row numbers from 0. */
  readonly duplicates: Duplicates;
  /** Rows by language (ISO 639-1), `unknown` where a row is too short to tell. */
  readonly languages: Readonly<Record<string, number>>;
  /** `examples` has content, and is empty unless it was asked for. */
  readonly personal: Survey;
  readonly problems: readonly {
    readonly file: string;
    readonly line: number;
    readonly code: string;
    readonly reason: string;
  }[];
}

/** Reads every row and, with a base model, tokenises it. @throws FedloraError data/not-found | data/malformed-file | ... */
export async function checkData(
  files: readonly string[],
  base: string | undefined,
  format: GivenFormat,
  maximumLength: number,
  examplesPerKind = 0,
): Promise<DataReport> {
  if (files.length === 0) throw new FedloraError('data/empty', 'No data is configured; give --data FILE.');
  // Every bad row is wanted here, however many there are.
  const { rows, problems } = await readRows(files, { format, maximumBadFraction: 1 });
  const found = rows.length + problems.length;
  const { findDuplicates } = await import('../data/near-duplicates.js');
  const { languageMix } = await import('../data/languages.js');
  const { surveyPersonalData } = await import('../data/personal/survey.js');
  const texts = rows.map((row) => textsOf(row).join(' '));
  const content = {
    duplicates: findDuplicates(texts, SHOWN_DUPLICATES),
    languages: await languageMix(texts),
    personal: surveyPersonalData(rows, examplesPerKind),
  };
  const facts = { files, format: nameOfFormat(rows[0].format), rows: found, maximumLength };
  if (base === undefined) return { ...facts, usable: rows.length, truncated: 0, tokens: null, problems, ...content };
  const { loadTokenizer, tokenizeRows } = await import('../data/tokenize.js');
  const tokenized = tokenizeRows(rows, await loadTokenizer(base), { maximumLength });
  const lengths = tokenized.examples.map((example) => example.ids.length).sort((a, b) => a - b);
  const at = (fraction: number): number =>
    lengths[Math.min(lengths.length - 1, Math.floor(fraction * lengths.length))] ?? 0;
  return {
    ...facts,
    usable: tokenized.examples.length,
    truncated: tokenized.truncated,
    tokens: {
      shortest: at(0),
      median: at(0.5),
      p95: at(0.95),
      longest: at(1),
      total: lengths.reduce((sum, length) => sum + length, 0),
      histogram: histogramOf(lengths),
    },
    problems: [...problems, ...tokenized.problems],
    ...content,
  };
}

/** [upTo / 2 + 1, upTo], from the shortest to the longest; without empty ends. */
function histogramOf(lengths: readonly number[]): readonly { readonly upTo: number; readonly rows: number }[] {
  const counts = new Map<number, number>();
  for (const length of lengths) {
    const upTo = 2 ** Math.ceil(Math.log2(Math.max(1, length)));
    counts.set(upTo, (counts.get(upTo) ?? 0) + 1);
  }
  const [least, most] = [Math.min(...counts.keys()), Math.max(...counts.keys())];
  const result = [];
  for (let upTo = least; upTo <= most; upTo *= 2) result.push({ upTo, rows: counts.get(upTo) ?? 0 });
  return result;
}

/** Problems shown one by one before the rest is only counted. */
const SHOWN = 50;
const SHOWN_DUPLICATES = 5;
const SHOWN_LANGUAGES = 5;
const BAR_WIDTH = 40;

/** What to do about what was found. */
const REMEDIES: Readonly<Record<FindingKind, string>> = {
  email: 'replace',
  phone: 'replace',
  iban: 'replace',
  'payment-card': 'replace, and ask where it comes from: card numbers must not be kept in clear',
  'national-id': 'replace',
  'ip-address': 'replace, unless it is of no person',
  'credentials-in-url': 'replace, and change the password',
  'key-or-token': 'replace, and revoke it: whoever can read the rows has it',
  'private-key': 'replace, and revoke it: whoever can read the rows has it',
  password: 'replace, and change it',
  name: 'replace, where the answer does not need it',
};

export function printDataReport(report: DataReport): string[] {
  const { problems, tokens } = report;
  const lines = problems.slice(0, SHOWN).map(({ file, line, code, reason }) => `${file}:${line}  ${reason}  [${code}]`);
  if (problems.length > SHOWN) lines.push(`... and ${problems.length - SHOWN} more`);
  if (lines.length > 0) lines.push('');
  lines.push(
    `rows       ${report.rows} read as ${report.format}, ${report.usable} usable, ${problems.length} left out`,
  );
  lines.push(...contentLines(report));
  if (tokens === null) {
    lines.push('tokens     not counted: give --base DIR');
  } else {
    lines.push(
      `tokens     ${tokens.shortest} to ${tokens.longest} a row, median ${tokens.median}, 95 % up to ${tokens.p95}, ${tokens.total} in all`,
    );
    lines.push(`truncated  ${report.truncated} rows lose the end of their input to fit ${report.maximumLength} tokens`);
    const most = Math.max(...tokens.histogram.map(({ rows }) => rows));
    for (const { upTo, rows } of tokens.histogram)
      lines.push(`  up to ${String(upTo).padStart(5)}  ${'█'.repeat(Math.ceil((BAR_WIDTH * rows) / most))} ${rows}`);
  }
  return lines;
}

/** The most frequent; the rest together. */
function shownLanguages(languages: Readonly<Record<string, number>>): string {
  const all = Object.entries(languages);
  const shown = all.slice(0, SHOWN_LANGUAGES).map(([language, rows]) => `${language} ${rows}`);
  const others = all.slice(SHOWN_LANGUAGES).reduce((sum, [, rows]) => sum + rows, 0);
  return [...shown, ...(others > 0 ? [`others ${others}`] : [])].join(', ');
}

function contentLines({ duplicates, languages, personal }: DataReport): string[] {
  const lines = [
    `repeated   ${duplicates.exact} rows are the same as one before, ${duplicates.near} nearly the same`,
    `languages  ${shownLanguages(languages)}`,
    `personal   ${personal.rows} rows have personal or secret data that was recognised; what was not may be there all the same`,
  ];
  if (duplicates.exact + duplicates.near > 0)
    lines.splice(1, 0, '           a row that stands twice is protected half as well: remove all but one');
  for (const [kind, { findings, rows }] of Object.entries(personal.kinds)) {
    lines.push(`  ${kind.padEnd(20)} ${findings} in ${rows} rows: ${REMEDIES[kind as FindingKind]}`);
    for (const { file, line, text } of personal.examples.filter((example) => example.kind === kind))
      lines.push(`    ${file}:${line}  ${JSON.stringify(text)}`);
  }
  if (personal.rows > 0) lines.push('  `fedlora data anonymise` replaces them');
  return lines;
}
