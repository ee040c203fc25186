/** Copies rows with pseudonyms in place of personal data. */

import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { FedloraError } from '@fedlora/shared';
import { writeAtomically } from '../storage/atomic-file.js';
import type { FindingKind } from './personal/detectors.js';
import { PSEUDONYM_KEY_BYTES, Pseudonyms } from './personal/pseudonyms.js';
import { mapTexts } from './row-texts.js';
import { readRows, type Row, type RowFormat } from './rows.js';

export interface AnonymiseReport {
  readonly rows: number;
  /** Rows that could not be read. */
  readonly leftOut: number;
  readonly replaced: Readonly<Partial<Record<FindingKind, number>>>;
}

/**
 * Writes `out`, JSON lines, whole or not at all.
 *
 * @param options.key file of the pseudonyms' key, made (mode 0600) where there is none; none: a key that is forgotten
 * @throws FedloraError data/output-exists | data/bad-key | data/not-found | data/malformed-file | data/empty | ...
 */
export async function anonymiseFiles(
  files: readonly string[],
  options: { readonly out: string; readonly format: RowFormat; readonly key?: string },
): Promise<AnonymiseReport> {
  const { out, format, key } = options;
  if (existsSync(out)) throw new FedloraError('data/output-exists', undefined, { where: out });
  const { rows, problems } = await readRows(files, { format, maximumBadFraction: 1 });
  const pseudonyms = new Pseudonyms(key === undefined ? randomBytes(PSEUDONYM_KEY_BYTES) : await keyIn(key));
  const lines = rows.map((row) => `${JSON.stringify(membersOf(mapTexts(row, (text) => pseudonyms.in(text))))}\n`);
  await writeAtomically(out, lines.join(''), { mode: 0o600 });
  return { rows: rows.length, leftOut: problems.length, replaced: pseudonyms.replaced };
}

/** What stands in the file: without where the row was read. */
function membersOf(row: Row): object {
  switch (row.format) {
    case 'alpaca':
      return { instruction: row.instruction, input: row.input, output: row.output };
    case 'text':
      return { text: row.text };
    case 'messages':
      return { messages: row.messages };
    default:
      return row satisfies never;
  }
}

async function keyIn(path: string): Promise<Uint8Array> {
  if (!existsSync(path)) {
    const key = randomBytes(PSEUDONYM_KEY_BYTES);
    await writeFile(path, `${key.toString('hex')}\n`, { mode: 0o600, flag: 'wx' });
    return key;
  }
  const text = (await readFile(path, 'utf8')).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) throw new FedloraError('data/bad-key', undefined, { where: path });
  return Buffer.from(text, 'hex');
}
