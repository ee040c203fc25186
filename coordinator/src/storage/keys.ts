/** The coordinator's own secrets: its signing key, and the tokens it gives, of which only hashes are kept in the database. */

import { createHash, hkdfSync, randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { fromHex, toHex } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { FedloraError } from '@fedlora/shared';
import { isMissing, writeAtomically } from './durable-file.js';

/** Signs manifests and adapter versions. The secret half stays inside. */
export interface CoordinatorKey {
  /** 64 hex digits. */
  readonly publicKey: string;
  /** Ed25519 signature as 128 hex digits. */
  sign(message: Uint8Array): string;
  /** 32 bytes for one purpose: the same at every coordinator with this key, and telling nothing of it. HKDF-SHA256. */
  secretFor(purpose: string): Uint8Array;
}

/** Reads the key, or makes it at the first start. @throws FedloraError config/invalid: others may read the file, or it is damaged */
export async function openCoordinatorKey(path: string): Promise<CoordinatorKey> {
  return keyOf((await readSeed(path)) ?? (await createSeed(path)));
}

/** Reads a key that is kept elsewhere. @throws FedloraError config/invalid: as above, or it is not there */
export async function readCoordinatorKey(path: string): Promise<CoordinatorKey> {
  const seed = await readSeed(path);
  if (seed === undefined)
    throw new FedloraError('config/invalid', 'coordinatorKeyFile names a file that is not there.', { where: path });
  return keyOf(seed);
}

function keyOf(seed: Uint8Array): CoordinatorKey {
  return {
    publicKey: toHex(nodeProvider.ed25519.publicKey(seed)),
    sign: (message) => toHex(nodeProvider.ed25519.sign(seed, message)),
    secretFor: (purpose) => new Uint8Array(hkdfSync('sha256', seed, new Uint8Array(0), `fedlora ${purpose}`, 32)),
  };
}

/** `undefined`: there is no file. */
async function readSeed(path: string): Promise<Uint8Array | undefined> {
  let text: string;
  try {
    const facts = await stat(path);
    // Kubernetes shows root's files to a process by its group.
    const forbidden = facts.uid === 0 && process.getuid?.() !== 0 ? 0o037 : 0o077;
    if (process.platform !== 'win32' && (facts.mode & forbidden) !== 0) {
      throw new FedloraError('config/invalid', 'The coordinator’s key can be read by others; chmod it to 600.', {
        where: path,
      });
    }
    text = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  if (!/^[0-9a-f]{64}$/.test(text))
    throw new FedloraError('config/invalid', 'The coordinator’s key is damaged.', { where: path });
  return fromHex(text);
}

async function createSeed(path: string): Promise<Uint8Array> {
  const seed = new Uint8Array(randomBytes(32));
  await writeAtomically(path, `${toHex(seed)}\n`, 0o600);
  return seed;
}

/** A fresh token: 32 random bytes as URL-safe text. */
export function createToken(): string {
  return randomBytes(32).toString('base64url');
}

/** A fresh name for a row: no secret. Twelve hex digits, which no command line takes for an option, as it would a leading hyphen. */
export function createId(): string {
  return randomBytes(6).toString('hex');
}

/** What is stored of a token. Tokens are random, so one hash is enough. */
export function tokenHash(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
