/** This organisation's Ed25519 identity: a seed in a file that only its owner may read. */

import { readFile, stat } from 'node:fs/promises';
import { fromHex, Secret, toHex } from '@fedlora/protocol';
import { nodeProvider, systemRandom } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import { writeAtomically } from './atomic-file.js';

/** A key pair whose secret half stays inside. */
export interface Identity {
  /** Ed25519 public key, 64 hex digits. */
  readonly publicKey: string;
  sign(message: Uint8Array): Uint8Array;
  /** For the secure-aggregation role, which signs its own messages. */
  readonly seed: Secret;
}

/** Makes a new key file. Refuses to replace one. */
export async function createIdentity(path: string): Promise<Identity> {
  if (await exists(path)) throw new FedloraError('identity/exists');
  const seed = nodeProvider.ed25519.generateSecret(systemRandom());
  await writeAtomically(path, `${toHex(seed)}\n`, { mode: 0o600 });
  return identityOf(seed);
}

/** @throws FedloraError identity/missing | identity/unsafe | identity/malformed */
export async function readIdentity(path: string): Promise<Identity> {
  const facts = await stat(path).catch((cause: unknown) => {
    throw new FedloraError('identity/missing', undefined, { cause });
  });
  if (process.platform !== 'win32' && (facts.mode & 0o077) !== 0) throw new FedloraError('identity/unsafe');
  const text = (await readFile(path, 'utf8')).trim();
  if (!/^[0-9a-f]{64}$/.test(text)) throw new FedloraError('identity/malformed');
  return identityOf(fromHex(text));
}

function identityOf(seedBytes: Uint8Array): Identity {
  const seed = new Secret(seedBytes);
  return {
    publicKey: toHex(nodeProvider.ed25519.publicKey(seedBytes)),
    sign: (message) => nodeProvider.ed25519.sign(seed.reveal(), message),
    seed,
  };
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
