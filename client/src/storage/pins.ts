/** The keys this organisation trusts, fixed at enrolment: nothing that arrives later can change them. */

import { readFile } from 'node:fs/promises';
import { FedloraError } from '@fedlora/shared';
import { writeAtomically } from './atomic-file.js';

export interface Pins {
  /** Name under which this organisation is enrolled. */
  readonly organisation: string;
  /** Ed25519 key that signs manifests and adapter versions, 64 hex digits. */
  readonly coordinatorKey: string;
  /** Ed25519 key that certifies members, 64 hex digits. */
  readonly federationKey: string;
  readonly enrolledAt: number;
}

export async function writePins(path: string, pins: Pins): Promise<void> {
  await writeAtomically(path, `${JSON.stringify(pins, null, 2)}\n`, { mode: 0o600 });
}

/** @throws FedloraError client/not-enrolled | pins/malformed */
export async function readPins(path: string): Promise<Pins> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FedloraError('client/not-enrolled', undefined, { cause });
  });
  let pins: Partial<Pins>;
  try {
    pins = JSON.parse(text) as Partial<Pins>;
  } catch (cause) {
    throw new FedloraError('pins/malformed', undefined, { cause });
  }
  const key = /^[0-9a-f]{64}$/;
  if (
    typeof pins.organisation !== 'string' ||
    !key.test(pins.coordinatorKey ?? '') ||
    !key.test(pins.federationKey ?? '')
  ) {
    throw new FedloraError('pins/malformed');
  }
  return pins as Pins;
}
