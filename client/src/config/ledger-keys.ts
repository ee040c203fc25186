/** The keys that a home folder's ledgers are checked with. */

import { existsSync } from 'node:fs';
import { readIdentity } from '../storage/identity.js';
import type { LedgerKeys } from '../storage/ledger-chain.js';
import { readPins } from '../storage/pins.js';
import type { Home } from './home.js';

/** @throws FedloraError identity/... | pins/malformed */
export async function ledgerKeys(home: Home): Promise<LedgerKeys> {
  const { publicKey } = await readIdentity(home.identity);
  return existsSync(home.pins)
    ? { publicKey, federationKey: (await readPins(home.pins)).federationKey }
    : { publicKey };
}
