/** Copies rows with pseudonyms in place of personal data. */

import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { writeAtomically } from '../storage/atomic-file.js';
import { keyOfFile } from '../storage/key-file.js';
import { takeName } from '../storage/new-file.js';
import type { FindingKind } from './personal/detectors.js';
import { PSEUDONYM_KEY_BYTES, Pseudonyms } from './personal/pseudonyms.js';
import { mapTexts } from './row-texts.js';
import type { GivenFormat } from './row-formats.js';
import { isProblem, noRows, streamRows, type Row } from './rows.js';

export interface AnonymiseReport {
  readonly rows: number;
  /** Rows that could not be read. */
  readonly leftOut: number;
  readonly replaced: Readonly<Partial<Record<FindingKind, number>>>;
}

/**
 * Writes `out`, JSON lines, whole or not at all, and over nothing: its name is taken first, by an empty file.
 *
 * Memory  one row: files may be larger than it.
 * @param options.key file of the pseudonyms' key, made (mode 0600) where there is none; none: a key that is forgotten
 * @throws FedloraError data/output-exists | data/bad-key | data/not-found | data/malformed-file | data/empty | ...
 */
export async function anonymiseFiles(
  files: readonly string[],
  options: { readonly out: string; readonly format: GivenFormat; readonly key?: string },
): Promise<AnonymiseReport> {
  const { out, format, key } = options;
  await takeName(out);
  try {
    const pseudonyms = new Pseudonyms(
      key === undefined ? randomBytes(PSEUDONYM_KEY_BYTES) : await keyOfFile(key, 'data/bad-key'),
    );
    const counts = { rows: 0, leftOut: 0 };
    async function* lines(): AsyncGenerator<string> {
      for await (const one of streamRows(files, { format })) {
        if (isProblem(one)) counts.leftOut += 1;
        else {
          counts.rows += 1;
          yield `${JSON.stringify(membersOf(mapTexts(one, (text) => pseudonyms.in(text))))}\n`;
        }
      }
      if (counts.rows === 0) throw noRows(files);
    }
    await writeAtomically(out, lines(), { mode: 0o600 });
    return { ...counts, replaced: pseudonyms.replaced };
  } catch (error) {
    await rm(out, { force: true });
    throw error;
  }
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
