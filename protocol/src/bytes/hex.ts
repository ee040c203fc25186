/** Lower-case hexadecimal, the text form of hashes and keys. */

import { ProtocolError } from '../errors.js';

const DIGITS = '0123456789abcdef';
const CODES = Uint8Array.from(DIGITS, (digit) => digit.charCodeAt(0));
/** As many as a call has arguments. */
const PIECE_BYTES = 4096;

/** Two lower-case hex digits for each byte. A piece at a time: engines keep a text that grew by two as all of its parts, a kilobyte for a key. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (let begin = 0; begin < bytes.length; begin += PIECE_BYTES) {
    const codes: number[] = [];
    for (const byte of bytes.subarray(begin, begin + PIECE_BYTES)) codes.push(CODES[byte >> 4], CODES[byte & 15]);
    text += String.fromCharCode(...codes);
  }
  return text;
}

/**
 * The bytes that lower-case hex stands for. Upper case is refused, so that each byte string has one text form.
 *
 * @throws ProtocolError codec/malformed: an odd length or a character that is no lower-case hex digit
 */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0) throw new ProtocolError('codec/malformed', 'Hexadecimal text has an odd length.');
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const high = DIGITS.indexOf(text.charAt(2 * i));
    const low = DIGITS.indexOf(text.charAt(2 * i + 1));
    if (high < 0 || low < 0) {
      throw new ProtocolError('codec/malformed', 'Hexadecimal text has a character that is not 0-9 or a-f.', {
        offset: 2 * i,
      });
    }
    bytes[i] = high * 16 + low;
  }
  return bytes;
}
