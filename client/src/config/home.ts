/** Where everything lives on the owner's disk. */

import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** The paths of a home folder. Nothing else of ours is anywhere else. */
export interface Home {
  readonly directory: string;
  readonly config: string;
  readonly policy: string;
  readonly identity: string;
  /** The key that is to follow, until the change. */
  readonly nextIdentity: string;
  readonly pins: string;
  readonly decisions: string;
  /** The newest revocation list and the last roster. */
  readonly roster: string;
  readonly status: string;
  readonly lock: string;
  /** While this file exists, the daemon takes part in no round. */
  readonly paused: string;
  /** That this organisation leaves, or has left, the federation. */
  readonly left: string;
  /** The manifests that were offered, and which of them the owner approved. */
  readonly offers: string;
  /** The rounds that were offered, and what was sent in them. */
  readonly rounds: string;
  /** How long training has used this machine. */
  readonly usage: string;
  readonly ledgers: string;
  readonly adapters: string;
  /** Quantized weights of base models, which can be made again. */
  readonly quantized: string;
  /** Downloaded base models. */
  readonly models: string;
  ledger(dataset: string): string;
  /** Fingerprints of the records that a data set has had. */
  records(dataset: string): string;
  /** The key of all fingerprints. */
  readonly recordKey: string;
}

export function homeAt(directory: string): Home {
  const root = resolve(directory);
  return {
    directory: root,
    config: join(root, 'config.yaml'),
    policy: join(root, 'policy.yaml'),
    identity: join(root, 'identity.key'),
    nextIdentity: join(root, 'identity.next.key'),
    pins: join(root, 'pins.json'),
    decisions: join(root, 'decisions.jsonl'),
    roster: join(root, 'roster.json'),
    status: join(root, 'status.json'),
    lock: join(root, 'lock'),
    paused: join(root, 'paused'),
    left: join(root, 'left.json'),
    offers: join(root, 'offers'),
    rounds: join(root, 'rounds.jsonl'),
    usage: join(root, 'usage.jsonl'),
    ledgers: join(root, 'ledger'),
    adapters: join(root, 'adapters'),
    quantized: join(root, 'cache', 'nf4'),
    models: join(root, 'cache', 'models'),
    ledger: (dataset) => join(root, 'ledger', `${dataset}.jsonl`),
    records: (dataset) => join(root, 'ledger', `${dataset}.records`),
    recordKey: join(root, 'ledger', 'records.key'),
  };
}

/** The home folder of `--home`, else of FEDLORA_HOME, else `~/.fedlora`. */
export function homeFrom(option: string | undefined, environment: NodeJS.ProcessEnv): Home {
  return homeAt(option ?? environment.FEDLORA_HOME ?? join(homedir(), '.fedlora'));
}

/** Makes the folders, readable by their owner only. */
export async function makeHome(home: Home): Promise<void> {
  for (const folder of [home.directory, home.ledgers, home.adapters]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
}
