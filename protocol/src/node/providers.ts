/** The crypto providers of Node. `provider.conformance.test.ts` holds them to `pureProvider`, byte for byte. */

import { createHash } from 'node:crypto';
import { nobleKeyAgreement, nobleSignatures, tweetnaclSealing } from '../primitives/pure.js';
import type { CryptoProvider } from '../primitives/provider.js';
import { nodeKeyAgreement } from './key-agreement.js';
import { nodeAddMask } from './masks.js';
import { nodeSignatures } from './signatures.js';

const nodeSha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(bytes).digest());

/** The fast one: everything by OpenSSL except sealing. For servers of large cohorts. */
export const nodeProvider: CryptoProvider = {
  name: 'node',
  x25519: nodeKeyAgreement,
  ed25519: nodeSignatures,
  sha256: nodeSha256,
  ...tweetnaclSealing,
  addMask: nodeAddMask,
};

/** The one to use: curves by noble-curves, whose source an auditor can read; bulk work by OpenSSL. */
export const defaultProvider: CryptoProvider = {
  name: 'default',
  x25519: nobleKeyAgreement,
  ed25519: nobleSignatures,
  sha256: nodeSha256,
  ...tweetnaclSealing,
  addMask: nodeAddMask,
};
