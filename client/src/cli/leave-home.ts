/**
 * Leaving the federation as a whole, in the order in which an interruption does least harm: from the first line on no client starts with
 * this folder again; then the one that runs ends its part of the round; then the coordinator is told; and only then may keys go.
 */

import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { FedloraError } from '@fedlora/shared';
import { readConfig } from '../config/client-config.js';
import type { Home } from '../config/home.js';
import { Http } from '../connection/http.js';
import { leaveFederation } from '../connection/leave.js';
import { flushFolder } from '../storage/atomic-file.js';
import { readDeparture, writeDeparture, type Departure } from '../storage/departure.js';
import { readIdentity } from '../storage/identity.js';
import { lockHolder, takeLock } from '../storage/lock.js';
import { readPins } from '../storage/pins.js';

export interface Leaving {
  readonly home: Home;
  readonly environment: NodeJS.ProcessEnv;
  /** Whether to remove the keys once the coordinator was told. */
  readonly forget: boolean;
  /** Called when a running client is waited for. */
  readonly onWaiting: (holder: number) => void;
  /** How long a running client may take to end its part of a round, in milliseconds. */
  readonly patienceMs?: number;
}

/** A daemon notices within two seconds, gives its round a minute, and says goodbye. */
const PATIENCE_MS = 75_000;
const LOOK_AGAIN_MS = 100;

/**
 * Leaves, or goes on leaving where an earlier try was interrupted; again, it does nothing.
 *
 * @throws FedloraError client/not-enrolled | client/still-running
 * @throws FedloraError client/departure-untold: the client is stopped for good, and the coordinator does not know
 */
export async function leaveHome(leaving: Leaving): Promise<Departure> {
  const { home, environment } = leaving;
  const pins = await readPins(home.pins);
  let departure = await readDeparture(home.left);
  if (departure === undefined) {
    departure = { at: Date.now(), isTold: false };
    await writeDeparture(home.left, departure);
  }
  await untilStopped(leaving);
  const lock = await takeLock(home.lock);
  try {
    if (!departure.isTold) {
      try {
        const { config } = await readConfig(home.config, environment);
        await leaveFederation(new Http(config.coordinator), await readIdentity(home.identity), pins.coordinatorKey);
      } catch (cause) {
        const { message } = FedloraError.from(cause);
        throw new FedloraError('client/departure-untold', `The coordinator could not be told: ${message}`, { cause });
      }
      departure = { ...departure, isTold: true };
      await writeDeparture(home.left, departure);
    }
    if (leaving.forget) await forgetKeys(home);
    return departure;
  } finally {
    await lock.release();
  }
}

/** Waits until the client that runs with this folder has seen the file and stopped. */
async function untilStopped({ home, onWaiting, patienceMs = PATIENCE_MS }: Leaving): Promise<void> {
  const endsAt = performance.now() + patienceMs;
  for (let isTold = false; ; isTold = true) {
    const holder = await lockHolder(home.lock);
    if (holder === undefined) return;
    if (!isTold) onWaiting(holder);
    if (performance.now() > endsAt) {
      throw new FedloraError('client/still-running', `Process ${holder} has not stopped.`, { details: { holder } });
    }
    await wait(LOOK_AGAIN_MS);
  }
}

async function forgetKeys(home: Home): Promise<void> {
  for (const path of [home.identity, home.nextIdentity]) if (existsSync(path)) await rm(path);
  await flushFolder(home.directory);
}
