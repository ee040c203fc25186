/** What `fedlora data check` finds. For the owner's terminal only: nothing of it is logged or sent. */

import { FedloraError } from '@fedlora/shared';
import { readRows, type RowFormat } from '../data/rows.js';

export interface DataReport {
  readonly files: readonly string[];
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
  } | null;
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
  format: RowFormat,
  maximumLength: number,
): Promise<DataReport> {
  if (files.length === 0) throw new FedloraError('data/empty', 'No data is configured; give --data FILE.');
  // Every bad row is wanted here, however many there are.
  const { rows, problems } = await readRows(files, { format, maximumBadFraction: 1 });
  const found = rows.length + problems.length;
  if (base === undefined) {
    return { files, rows: found, usable: rows.length, truncated: 0, maximumLength, tokens: null, problems };
  }
  const { loadTokenizer, tokenizeRows } = await import('../data/tokenize.js');
  const tokenized = tokenizeRows(rows, await loadTokenizer(base), { maximumLength });
  const lengths = tokenized.examples.map((example) => example.ids.length).sort((a, b) => a - b);
  const at = (fraction: number): number =>
    lengths[Math.min(lengths.length - 1, Math.floor(fraction * lengths.length))] ?? 0;
  return {
    files,
    rows: found,
    usable: tokenized.examples.length,
    truncated: tokenized.truncated,
    maximumLength,
    tokens: {
      shortest: at(0),
      median: at(0.5),
      p95: at(0.95),
      longest: at(1),
      total: lengths.reduce((sum, length) => sum + length, 0),
    },
    problems: [...problems, ...tokenized.problems],
  };
}

/** Problems shown one by one before the rest is only counted. */
const SHOWN = 50;

export function printDataReport(report: DataReport): string[] {
  const { problems, tokens } = report;
  const lines = problems.slice(0, SHOWN).map(({ file, line, code, reason }) => `${file}:${line}  ${reason}  [${code}]`);
  if (problems.length > SHOWN) lines.push(`... and ${problems.length - SHOWN} more`);
  if (lines.length > 0) lines.push('');
  lines.push(`rows       ${report.rows} read, ${report.usable} usable, ${problems.length} left out`);
  if (tokens === null) {
    lines.push('tokens     not counted: give --base DIR');
  } else {
    lines.push(
      `tokens     ${tokens.shortest} to ${tokens.longest} a row, median ${tokens.median}, 95 % up to ${tokens.p95}, ${tokens.total} in all`,
    );
    lines.push(`truncated  ${report.truncated} rows lose the end of their input to fit ${report.maximumLength} tokens`);
  }
  return lines;
}
