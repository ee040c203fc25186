/** The owner's rows as tokens, for a round or for training alone. */

import type { Manifest } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { readRows } from '../data/rows.js';
import { loadTokenizer, tokenizeRows, type Example } from '../data/tokenize.js';

/**
 * Reads, templates and tokenises rows with the base model's tokenizer. Rows that are bad or cannot fit are left out; `fedlora data
 * check` names them.
 *
 * @throws FedloraError data/... | tokenizer/...
 */
export async function readExamples(
  files: readonly string[],
  baseDirectory: string,
  terms: Pick<Manifest['data'], 'format' | 'maximumLength'>,
): Promise<readonly Example[]> {
  const [tokenizer, { rows }] = await Promise.all([
    loadTokenizer(baseDirectory),
    readRows(files, { format: terms.format }),
  ]);
  const { examples } = tokenizeRows(rows, tokenizer, { maximumLength: terms.maximumLength });
  if (examples.length === 0) throw new FedloraError('data/empty');
  return examples;
}
