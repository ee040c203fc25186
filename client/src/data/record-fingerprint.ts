/** By what a record is known again, in another file, another format or under another name of its data set. */

import { createHmac } from 'node:crypto';
import { textsOf } from './row-texts.js';
import type { Row } from './rows.js';

/**
 * 64 bits that follow from the words of a row, by a secret key: whoever sees them cannot test guesses at rows.
 *
 * Guarantee  the same for rows whose texts, one after the other, differ in spaces, case and Unicode form only: so in every format,
 *            file and place. Two different records have the same with a probability of 2^-64.
 * Not known again: a record of which a word was changed. It is another record, and what it has in common with the first is not
 *            counted.
 */
export function recordFingerprint(row: Row, key: Uint8Array): bigint {
  const words = textsOf(row)
    .join(' ')
    .normalize('NFKC')
    .toLowerCase()
    .split(/\s+/u)
    .filter((word) => word !== '');
  return createHmac('sha256', key).update('fedlora/record/v1\n').update(words.join(' ')).digest().readBigUInt64LE();
}
