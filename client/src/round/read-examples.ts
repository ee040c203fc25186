/** The owner's rows as tokens, for a round. */

import { FedloraError } from '@fedlora/shared';
import { readRows } from '../data/rows.js';
import { isHeldOut } from '../data/split.js';
import { loadTokenizer, tokenizeRows } from '../data/tokenize.js';
import type { ExampleTerms, RoundExample } from './round-example.js';

/**
 * Reads, templates and tokenises rows with the base model's tokenizer. Rows that are bad or cannot fit are left out; `fedlora data
 * check` names them.
 *
 * @throws FedloraError data/... | tokenizer/...
 */
export async function readExamples(
  files: readonly string[],
  baseDirectory: string,
  terms: ExampleTerms,
): Promise<readonly RoundExample[]> {
  const [tokenizer, { rows }] = await Promise.all([
    loadTokenizer(baseDirectory),
    readRows(files, { format: terms.format }),
  ]);
  const { examples } = tokenizeRows(rows, tokenizer, { maximumLength: terms.maximumLength });
  if (examples.length === 0) throw new FedloraError('data/empty');
  return examples.map((example) => ({ ...example, isHeldOut: isHeldOut(rows[example.row], terms.heldOutFraction) }));
}
