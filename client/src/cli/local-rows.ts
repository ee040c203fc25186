/** The owner's rows for a command, with an account of those that cannot be used as they are. */

import { FedloraError } from '@fedlora/shared';
import { readRows, type RowFormat } from '../data/rows.js';
import { tokenizeRows, type Example, type TrainingTokenizer } from '../data/tokenize.js';
import type { CliContext } from './context.js';

export interface LocalRows {
  readonly examples: readonly Example[];
  /** Rows whose input lost its end to fit. They are among the examples. */
  readonly truncated: number;
  /** Rows that are not used: where, and why. */
  readonly leftOut: readonly string[];
  /** File and line of an example. */
  readonly nameOf: (index: number) => string;
}

/** @throws FedloraError data/...: a file cannot be read, too many rows are bad, or none can be used */
export async function readLocalRows(
  files: readonly string[],
  tokenizer: TrainingTokenizer,
  { format, maximumLength }: { readonly format: RowFormat; readonly maximumLength: number },
): Promise<LocalRows> {
  const { rows, problems: unread } = await readRows(files, { format });
  const { examples, truncated, problems: unfit } = tokenizeRows(rows, tokenizer, { maximumLength });
  const leftOut = [...unread, ...unfit].map(({ file, line, reason }) => `${file}:${line} ${reason}`);
  if (examples.length === 0) {
    throw new FedloraError('data/empty', `None of ${leftOut.length} rows can be used.`, { where: leftOut[0] });
  }
  const nameOf = (index: number): string => {
    const { file, line } = rows[examples[index].row];
    return `${file}:${line}`;
  };
  return { examples, truncated, leftOut, nameOf };
}

/** Rows that are left out are named up to this many. */
const NAMED = 3;

/** Tells the owner of rows that were shortened or left out. */
export function reportRows({ truncated, leftOut }: LocalRows, maximumLength: number, context: CliContext): void {
  if (truncated > 0)
    context.error(
      `${truncated} rows over ${maximumLength} tokens lost the end of their input; their answers are whole.`,
    );
  if (leftOut.length === 0) return;
  context.error(`${leftOut.length} rows are left out; \`fedlora data check\` lists them all:`);
  for (const one of leftOut.slice(0, NAMED)) context.error(`  ${one}`);
}
