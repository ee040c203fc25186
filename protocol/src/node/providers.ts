/** The crypto provider of Node. `provider.conformance.test.ts` holds it to `pureProvider`, byte for byte. */

import { createHash } from 'node:crypto';
import { tweetnaclSealing } from '../primitives/pure.js';
import type { CryptoProvider } from '../primitives/provider.js';
import { nodeAesGcm } from './aes-gcm.js';
import { nodeKeyAgreement } from './key-agreement.js';
import { nodeAddMask } from './masks.js';
import { nodeSignatures } from './signatures.js';

const nodeSha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest());

/**
 * The one for sessions, everything by OpenSSL except sealing: its curves are written to take constant time, and take a tenth of that
 * of noble-curves. What outlives a session is checked by `pureProvider`: decisions/0002.
 */
export const nodeProvider: CryptoProvider = {
  name: 'node',
  x25519: nodeKeyAgreement,
  ed25519: nodeSignatures,
  sha256: nodeSha256,
  ...tweetnaclSealing,
  aesGcm: nodeAesGcm,
  addMask: nodeAddMask,
};
