/** Passwords: stored as argon2id with the parameters that OWASP's cheat sheet names first (19 MiB, 2 passes, 1 lane). */

import { hash, verify } from '@node-rs/argon2';
import { FedloraError } from '@fedlora/shared';
import { Admission } from './admission.js';

// The package's default algorithm is argon2id.
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
const LEAST_CHARACTERS = 12;

/** Hashing shares its threads with reading and writing files: two leave others to rounds, however many try passwords. */
const turns = new Admission({ atOnce: 2, waiting: 64, ofEach: Infinity, retryAfterMs: 2_000 });
const ANYBODY = '';

/** @throws FedloraError access/weak-password */
export function expectStrong(password: string, name: string): void {
  const isGuessable =
    [...password].length < LEAST_CHARACTERS ||
    new Set(password).size < 4 ||
    password.toLowerCase().replaceAll(/[^a-z]/g, '') === name.replaceAll(/[^a-z]/g, '');
  if (isGuessable) throw new FedloraError('access/weak-password');
}

/** In PHC form. @throws FedloraError coordinator/busy */
export function hashPassword(password: string): Promise<string> {
  return turns.take(ANYBODY, () => hash(password.normalize('NFKC'), PARAMETERS));
}

/** A hash of nothing that anybody has, for users that do not exist: their refusal takes as long as any other. */
let decoy: Promise<string> | undefined;

function decoyHash(): Promise<string> {
  // Made again where there was no room for it.
  decoy ??= hashPassword(crypto.randomUUID()).catch((error: unknown) => {
    decoy = undefined;
    throw error;
  });
  return decoy;
}

/**
 * Whether this is the password of the hash; `null`, the hash of a user who has none or does not exist, takes as long to refuse.
 *
 * @throws FedloraError coordinator/busy
 */
export async function isPassword(password: string, stored: string | null): Promise<boolean> {
  const others = decoyHash();
  others.catch(() => undefined); // Who needs it hears of it.
  const against = stored ?? (await others);
  const isRight = await turns.take(ANYBODY, () => verify(against, password.normalize('NFKC')));
  return isRight && stored !== null;
}
