/** AES-256-GCM by node:crypto (OpenSSL). Source: NIST SP 800-38D. */

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { ProtocolError } from '../errors.js';
import { GCM_TAG_BYTES, type AesGcm } from '../primitives/provider.js';
import { expectGcmKey } from '../primitives/pure.js';

/** Without the length, a tag cut to four bytes would do. */
const OPTIONS = { authTagLength: GCM_TAG_BYTES } as const;

/** See `AesGcm`. */
export const nodeAesGcm: AesGcm = {
  seal: (key, nonce, plaintext) => {
    expectGcmKey(key, nonce);
    const cipher = createCipheriv('aes-256-gcm', key, nonce, OPTIONS);
    return new Uint8Array(Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]));
  },
  open: (key, nonce, sealed) => {
    expectGcmKey(key, nonce);
    const tagAt = sealed.length - GCM_TAG_BYTES;
    if (tagAt < 0) throw new ProtocolError('crypto/cannot-open');
    const decipher = createDecipheriv('aes-256-gcm', key, nonce, OPTIONS);
    decipher.setAuthTag(sealed.subarray(tagAt));
    const plaintext = decipher.update(sealed.subarray(0, tagAt));
    try {
      decipher.final();
    } catch {
      plaintext.fill(0); // what nobody vouches for
      throw new ProtocolError('crypto/cannot-open');
    }
    return new Uint8Array(plaintext);
  },
};
