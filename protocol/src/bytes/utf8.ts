/** UTF-8 without TextEncoder, which is not part of the language. */

import { ProtocolError } from '../errors.js';

/**
 * The UTF-8 bytes of a text.
 *
 * Divergence TextEncoder replaces a lone surrogate by U+FFFD, so that two texts share one encoding; here it is refused.
 * @throws ProtocolError codec/malformed: the text has a lone surrogate
 */
export function utf8(text: string): Uint8Array {
  const bytes: number[] = [];
  for (let i = 0; i < text.length; i++) {
    // Safe: i < text.length, and at a high surrogate codePointAt reads its partner.
    const code = text.codePointAt(i) as number;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) {
      if (code >= 0xd800 && code <= 0xdfff) {
        throw new ProtocolError('codec/malformed', 'Text has half of a surrogate pair.', { offset: i });
      }
      bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    } else {
      bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      i++; // The partner of the pair.
    }
  }
  return Uint8Array.from(bytes);
}
