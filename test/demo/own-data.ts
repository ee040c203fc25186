/** `--data organisation=file`: rows of the user's own, a tenth of each file held out as that organisation's test set. */

import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { readRows } from '@fedlora/client';
import { ArgumentError } from './arguments.js';
import type { DemoData, Row } from './organisations.js';

/** Test rows an organisation has at most: enough to compare, few enough to evaluate quickly. */
const MOST_TEST_ROWS = 200;

/** Reads each file and splits it by a stable hash of the row, so that the same row never is on both sides. */
export async function loadOwnData(files: ReadonlyMap<string, string>): Promise<DemoData> {
  const training = new Map<string, readonly Row[]>();
  const tests = new Map<string, readonly Row[]>();
  for (const [organisation, file] of files) {
    const { rows } = await readRows([resolve(file)], { format: 'alpaca' });
    const plain = rows.map((row) => row as unknown as Row);
    const isHeldOut = (row: Row): boolean =>
      createHash('sha256').update(`${row.instruction}\n${row.input}`).digest()[0] < 26;
    const held = plain.filter(isHeldOut);
    const kept = plain.filter((row) => !isHeldOut(row));
    if (held.length === 0 || kept.length < 100) {
      throw new ArgumentError(
        `--data ${organisation}=${file}: has ${plain.length} usable rows; at least 120 are needed.`,
      );
    }
    training.set(organisation, kept);
    tests.set(organisation, held.slice(0, MOST_TEST_ROWS));
  }
  return { training, tests };
}
