/** Passwords: stored as argon2id with the parameters that OWASP's cheat sheet names first (19 MiB, 2 passes, 1 lane). */

import { hash, verify } from '@node-rs/argon2';
import { FedloraError } from '@fedlora/shared';

// The package's default algorithm is argon2id.
const PARAMETERS = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
const LEAST_CHARACTERS = 12;

/** @throws FedloraError access/weak-password */
export function expectStrong(password: string, name: string): void {
  const isGuessable =
    [...password].length < LEAST_CHARACTERS ||
    new Set(password).size < 4 ||
    password.toLowerCase().replaceAll(/[^a-z]/g, '') === name.replaceAll(/[^a-z]/g, '');
  if (isGuessable) throw new FedloraError('access/weak-password');
}

/** In PHC form. */
export function hashPassword(password: string): Promise<string> {
  return hash(password.normalize('NFKC'), PARAMETERS);
}

/** A hash of nothing that anybody has, for users that do not exist: their refusal takes as long as any other. */
let decoy: Promise<string> | undefined;

/** Whether this is the password of the hash; `null`, the hash of a user who has none or does not exist, takes as long to refuse. */
export async function isPassword(password: string, stored: string | null): Promise<boolean> {
  decoy ??= hashPassword(crypto.randomUUID());
  const isRight = await verify(stored ?? (await decoy), password.normalize('NFKC'));
  return isRight && stored !== null;
}
