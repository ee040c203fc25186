/** The owner's rows for a command, with an account of those that cannot be used as they are. */

import { FedloraError } from '@fedlora/shared';
import type { GivenFormat } from '../data/row-formats.js';
import { eachRow } from '../data/rows.js';
import { tokenizeRows, type Example, type TokenizeProblem, type TrainingTokenizer } from '../data/tokenize.js';
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
  { format, maximumLength }: { readonly format: GivenFormat; readonly maximumLength: number },
): Promise<LocalRows> {
  const examples: Example[] = [];
  const names: string[] = [];
  const unfit: TokenizeProblem[] = [];
  let truncated = 0;
  let row = 0;
  const unread = await eachRow(files, { format }, (one) => {
    const tokenized = tokenizeRows([one], tokenizer, { maximumLength });
    for (const example of tokenized.examples) {
      examples.push({ ...example, row });
      names.push(`${one.file}:${one.line}`);
    }
    unfit.push(...tokenized.problems);
    truncated += tokenized.truncated;
    row += 1;
  });
  const leftOut = [...unread, ...unfit].map(({ file, line, reason }) => `${file}:${line} ${reason}`);
  if (examples.length === 0) {
    throw new FedloraError('data/empty', `None of ${leftOut.length} rows can be used.`, { where: leftOut[0] });
  }
  return { examples, truncated, leftOut, nameOf: (index) => names[index] };
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
