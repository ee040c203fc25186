/**
 * Named checks of this client's surroundings, each with cause and remedy. `doctor` runs them all and shows root causes only: a
 * check is skipped when one that it depends on failed.
 */

import { existsSync } from 'node:fs';
import { access, readFile, stat, statfs } from 'node:fs/promises';
import { FedloraError } from '@fedlora/shared';
import { readConfig, type ClientConfig } from '../config/client-config.js';
import type { Home } from '../config/home.js';
import { ledgerKeys } from '../config/ledger-keys.js';
import { readPolicy } from '../config/policy-file.js';
import { Http } from '../connection/http.js';
import { readIdentity } from '../storage/identity.js';
import { readLedger } from '../storage/ledger.js';
import { readPins } from '../storage/pins.js';

export interface Check {
  readonly code: string;
  readonly title: string;
  readonly dependsOn: readonly string[];
  /** Resolves with a fact to show; throws what is wrong. */
  readonly run: () => Promise<string>;
}

export type CheckResult =
  | { readonly code: string; readonly title: string; readonly outcome: 'ok'; readonly fact: string }
  | { readonly code: string; readonly title: string; readonly outcome: 'failed'; readonly error: FedloraError }
  | { readonly code: string; readonly title: string; readonly outcome: 'skipped'; readonly because: string };

const MINIMUM_FREE_BYTES = 500e6;

/** The checks of a home folder, in an order in which each stands after those it depends on. */
export function checksOf(home: Home, environment: NodeJS.ProcessEnv): readonly Check[] {
  const config = async (): Promise<ClientConfig> => (await readConfig(home.config, environment)).config;
  return [
    {
      code: 'config',
      title: 'Settings',
      dependsOn: [],
      run: async () => `${(await config()).organisation}, ${home.config}`,
    },
    {
      code: 'policy',
      title: 'Policy',
      dependsOn: [],
      run: async () => `epsilon cap ${(await readPolicy(home.policy)).terms.epsilonCap}`,
    },
    {
      code: 'identity',
      title: 'Identity key',
      dependsOn: [],
      run: async () => (await readIdentity(home.identity)).publicKey,
    },
    {
      code: 'pins',
      title: 'Pinned keys',
      dependsOn: [],
      run: async () => `coordinator ${(await readPins(home.pins)).coordinatorKey}`,
    },
    { code: 'ledger', title: 'Privacy ledger', dependsOn: ['config', 'identity'], run: () => ledger(home, config) },
    { code: 'base', title: 'Base model', dependsOn: ['config', 'policy'], run: () => baseModel(home, config) },
    { code: 'data', title: 'Training data', dependsOn: ['config'], run: () => dataFiles(config) },
    { code: 'devices', title: 'Devices', dependsOn: ['config'], run: () => devices(config) },
    { code: 'disk', title: 'Disk space', dependsOn: [], run: () => diskSpace(home) },
    { code: 'coordinator', title: 'Coordinator', dependsOn: ['config'], run: () => coordinator(config) },
  ];
}

/** Runs every check whose dependencies hold. */
export async function runChecks(checks: readonly Check[]): Promise<readonly CheckResult[]> {
  const results = new Map<string, CheckResult>();
  for (const { code, title, dependsOn, run } of checks) {
    const missing = dependsOn.find((one) => results.get(one)?.outcome !== 'ok');
    if (missing !== undefined) {
      results.set(code, { code, title, outcome: 'skipped', because: missing });
      continue;
    }
    try {
      results.set(code, { code, title, outcome: 'ok', fact: await run() });
    } catch (error) {
      results.set(code, { code, title, outcome: 'failed', error: FedloraError.from(error) });
    }
  }
  return [...results.values()];
}

async function ledger(home: Home, config: () => Promise<ClientConfig>): Promise<string> {
  const { dataset } = await config();
  const path = home.ledger(dataset.name);
  if (!existsSync(path)) return `"${dataset.name}" has spent nothing`;
  const keys = await ledgerKeys(home);
  return `"${dataset.name}", ${readLedger(await readFile(path, 'utf8'), keys).charges.length} entries, whole`;
}

async function baseModel(home: Home, config: () => Promise<ClientConfig>): Promise<string> {
  const { base } = await config();
  if (base === undefined)
    throw new FedloraError('base-model/not-found', 'No base model is configured: `base` in config.yaml.');
  const { baseModelDigest } = await import('../engine/weights/digest.js');
  const digest = await baseModelDigest(base);
  const { allowedBases } = (await readPolicy(home.policy)).terms;
  if (!allowedBases.includes('*') && !allowedBases.includes(digest)) {
    throw new FedloraError('policy/base-not-allowed', `The policy does not allow the configured base model ${digest}.`);
  }
  return digest;
}

async function dataFiles(config: () => Promise<ClientConfig>): Promise<string> {
  const { files } = (await config()).dataset;
  if (files.length === 0)
    throw new FedloraError('data/empty', 'No data is configured: `dataset.files` in config.yaml.');
  for (const file of files) {
    await access(file).catch((cause: unknown) => {
      throw new FedloraError('data/not-found', undefined, { where: file, cause });
    });
  }
  return `${files.length} ${files.length === 1 ? 'file' : 'files'}`;
}

async function devices(config: () => Promise<ClientConfig>): Promise<string> {
  const { describeDevices } = await import('./devices.js');
  return describeDevices((await config()).engine);
}

async function diskSpace(home: Home): Promise<string> {
  const folder = existsSync(home.directory) ? home.directory : '.';
  await stat(folder);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < MINIMUM_FREE_BYTES)
    throw new FedloraError('home/disk-full', `${Math.round(free / 1e6)} MB are free.`, { where: folder });
  return `${(free / 1e9).toFixed(1)} GB free`;
}

async function coordinator(config: () => Promise<ClientConfig>): Promise<string> {
  const { coordinator: url } = await config();
  const response = await new Http(url).send({ method: 'GET', path: '/readyz' });
  await response.body?.cancel();
  if (!response.ok)
    throw new FedloraError('connection/refused', `${url} answers ${response.status} when asked whether it is ready.`);
  return url;
}
