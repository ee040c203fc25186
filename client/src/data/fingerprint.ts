/** The name under which the privacy ledger knows a dataset. */

import { createHash } from 'node:crypto';
import { resolve } from 'node:path';

/**
 * A stable name of a dataset: hex SHA-256 of its configured name and its paths, not of its rows.
 *
 * A hash of the rows would change with every added row, and so begin a fresh privacy budget for the old ones; and whoever saw it
 * could test guesses at small datasets.
 */
export function datasetFingerprint(name: string, paths: readonly string[]): string {
  const places = paths.map((path) => resolve(path)).sort();
  return createHash('sha256')
    .update(JSON.stringify(['fedlora/dataset/v1', name, places]))
    .digest('hex');
}
