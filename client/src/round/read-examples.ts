/** The owner's rows as tokens, for a round. */

import { FedloraError } from '@fedlora/shared';
import { recordFingerprint } from '../data/record-fingerprint.js';
import { nameOfFormat, type GivenFormat, type RowFormat } from '../data/row-formats.js';
import { eachRow } from '../data/rows.js';
import { isHeldOut } from '../data/split.js';
import { loadTokenizer, tokenizeRows, type TrainingTokenizer } from '../data/tokenize.js';
import type { ExampleTerms, OwnedExample } from './round-example.js';

/** The rows of the owner. */
export interface Dataset {
  readonly files: readonly string[];
  readonly format: GivenFormat;
  /** Of the files, one that has canaries: those are learned from and never held out, or an audit would look for what nobody learned. */
  readonly canaries?: string | undefined;
}

/**
 * Reads, templates and tokenises rows with the base model's tokenizer. Rows that are bad or cannot fit are left out; `fedlora data
 * check` names them.
 *
 * Memory  tokens, 4 bytes each, and a few words a row: texts are let go one by one.
 * @param recordKey key of the records' fingerprints
 * @throws FedloraError data/... | tokenizer/...
 */
export async function readExamples(
  { files, format, canaries }: Dataset,
  baseDirectory: string,
  terms: ExampleTerms,
  recordKey: Uint8Array,
): Promise<readonly OwnedExample[]> {
  const tokenizer = await loadTokenizer(baseDirectory);
  if (terms.format === 'messages') checkChatTemplate(tokenizer, terms.template);
  const examples: OwnedExample[] = [];
  let row = 0;
  await eachRow(files, { format }, (one) => {
    if (one.format !== terms.format) throw otherFormat(one.format, terms.format);
    const [example] = tokenizeRows([one], tokenizer, terms).examples;
    if (example !== undefined)
      examples.push({
        ...example,
        row,
        isHeldOut: one.file !== canaries && isHeldOut(one, terms.heldOutFraction),
        fingerprint: recordFingerprint(one, recordKey),
      });
    row += 1;
  });
  if (examples.length === 0) throw new FedloraError('data/empty');
  return examples;
}

/** Every organisation of a run must put its chats in the same words. @throws FedloraError base-model/chat-template-mismatch */
function checkChatTemplate({ chatTemplate }: TrainingTokenizer, digest: string): void {
  if (chatTemplate?.digest !== digest)
    throw new FedloraError(
      'base-model/chat-template-mismatch',
      `The run names the chat template ${digest}; ${chatTemplate === undefined ? 'the base model here has none' : `here is ${chatTemplate.digest}`}.`,
    );
}

function otherFormat(found: RowFormat, wanted: RowFormat): FedloraError {
  return new FedloraError(
    'data/other-format',
    `The run learns from rows of format ${nameOfFormat(wanted)}; those of this data set are ${nameOfFormat(found)}.`,
  );
}
