/**
 * The change of an organisation's key as a whole: the new key is enrolled, every ledger is handed over to it, and only then does it
 * take the old one's place. Interrupted anywhere, it goes on when it is run again: enrolling with the same token gives the same
 * answer, and a ledger that was handed over stays as it is.
 */

import { existsSync } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import { pureProvider, readRevocations } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import { readConfig } from '../config/client-config.js';
import type { Home } from '../config/home.js';
import { enrol } from '../connection/enrol.js';
import { Http } from '../connection/http.js';
import { datasetsIn } from '../storage/account.js';
import { flushFolder } from '../storage/atomic-file.js';
import { readIdentity } from '../storage/identity.js';
import { handOver, type FormerKey } from '../storage/ledger.js';
import { lastSigner } from '../storage/ledger-chain.js';
import { takeLock } from '../storage/lock.js';
import { readPins } from '../storage/pins.js';

export interface Rotation {
  readonly home: Home;
  readonly environment: NodeJS.ProcessEnv;
  /** The federation's signed list, where the old key is lost. */
  readonly revocations: string | undefined;
  readonly token: () => Promise<string>;
}

export interface Rotated {
  readonly publicKey: string;
  /** Names of the data sets whose ledgers were handed over. */
  readonly ledgers: readonly string[];
}

/** @throws FedloraError identity/no-next | identity/missing | home/locked | enrol/... | connection/... | ledger/... */
export async function rotateIdentity({ home, environment, revocations, token }: Rotation): Promise<Rotated> {
  const lock = await takeLock(home.lock); // A daemon would write to the ledgers, too.
  try {
    const pins = await readPins(home.pins);
    const { config } = await readConfig(home.config, environment);
    if (!existsSync(home.nextIdentity)) throw new FedloraError('identity/no-next');
    const to = await readIdentity(home.nextIdentity);
    const former =
      existsSync(home.identity) || revocations === undefined ? await readIdentity(home.identity) : undefined;

    const answer = await enrol(new Http(config.coordinator), to, pins.organisation, await token());
    if (answer.coordinatorKey !== pins.coordinatorKey) throw new FedloraError('enrol/key-differs');

    const ledgers: string[] = [];
    for (const dataset of await datasetsIn(home.ledgers)) {
      const path = home.ledger(dataset);
      const from = former ?? (await lostKey(path, to.publicKey, pins.federationKey, revocations ?? ''));
      await handOver(path, dataset, { from, to, at: Date.now(), federationKey: pins.federationKey });
      ledgers.push(dataset);
    }
    await rename(home.nextIdentity, home.identity);
    await flushFolder(home.directory);
    return { publicKey: to.publicKey, ledgers };
  } finally {
    await lock.release();
  }
}

/** The key that wrote a ledger, found on the list of revoked ones. @throws FedloraError ledger/key-changed: it is not there */
async function lostKey(path: string, next: string, federationKey: string, revocations: string): Promise<FormerKey> {
  const { revoked } = readRevocations(pureProvider, federationKey, revocations);
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  const publicKey = lines.length === 0 ? next : lastSigner(lines, [next, ...revoked]);
  if (publicKey === undefined) {
    throw new FedloraError('ledger/key-changed', 'No key on the list of revoked ones has written this ledger.', {
      where: path,
    });
  }
  return { publicKey, revocations };
}
