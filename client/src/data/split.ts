/** Which rows are kept back to measure the adapter with. */

import { createHash } from 'node:crypto';
import type { Row } from './rows.js';

export interface SplitRows {
  readonly train: readonly Row[];
  readonly evaluation: readonly Row[];
}

/**
 * Splits rows by a hash of what is asked.
 *
 * Guarantee  A row stays on its side when others are added, removed or reordered, and equal prompts are on one side: no answer
 *            that is measured was learnt under another row number.
 * @param evaluationFraction expected share of the evaluation side
 */
export function splitRows(rows: readonly Row[], evaluationFraction: number): SplitRows {
  const train: Row[] = [];
  const evaluation: Row[] = [];
  for (const row of rows) (isHeldOut(row, evaluationFraction) ? evaluation : train).push(row);
  return { train, evaluation };
}

/** The side of one row: it depends on no other row, and a larger fraction adds rows and lets none go. */
export function isHeldOut(row: Row, evaluationFraction: number): boolean {
  return positionOf(row) < evaluationFraction;
}

/** A number in [0, 1) that follows from the row's prompt. */
function positionOf(row: Row): number {
  const hash = createHash('sha256')
    .update('fedlora/split/v1\n')
    .update(JSON.stringify(promptOf(row)))
    .digest();
  return hash.readUIntBE(0, 6) / 2 ** 48;
}

function promptOf(row: Row): unknown {
  switch (row.format) {
    case 'alpaca':
      return [row.instruction, row.input];
    case 'text':
      return [row.text];
    case 'messages':
      return row.messages.slice(0, -1).map(({ role, content }) => [role, content]);
    default:
      return row satisfies never;
  }
}
