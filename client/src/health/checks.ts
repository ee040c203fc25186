/**
 * Named checks of this client's surroundings, each with cause and remedy. `doctor` runs them all and shows root causes only: a
 * check is skipped when one that it depends on failed.
 */

import { existsSync } from 'node:fs';
import { readFile, stat, statfs } from 'node:fs/promises';
import { FedloraError } from '@fedlora/shared';
import { readConfig, type ClientConfig } from '../config/client-config.js';
import type { Home } from '../config/home.js';
import { ledgerKeys } from '../config/ledger-keys.js';
import { readPolicy } from '../config/policy-file.js';
import { givenFormats, nameOfFormat, type GivenFormat, type RowFormat } from '../data/row-formats.js';
import { isProblem, noRows, streamRows, type RowProblem } from '../data/rows.js';
import { Http } from '../connection/http.js';
import { readIdentity } from '../storage/identity.js';
import { readLedger } from '../storage/ledger.js';
import { readPins } from '../storage/pins.js';
import { gpuLoad } from './gpu-load.js';

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
    { code: 'limits', title: 'Limits', dependsOn: ['config', 'policy'], run: () => limits(home, config, environment) },
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
  const { files, format } = (await config()).dataset;
  if (files.length === 0)
    throw new FedloraError('data/empty', 'No data is configured: `dataset.files` in config.yaml.');
  const names = new Set<string>();
  for (const file of files) names.add(nameOfFormat(await firstFormat(file, givenFormats[format])));
  return `${files.length} ${files.length === 1 ? 'file' : 'files'}, ${[...names].join(' and ')}`;
}

/** Rows of a file that are looked at for one that can be used. */
const LOOKED_AT = 100;

/** The format of the first row that can be used. @throws FedloraError data/...: the file cannot be read, or none of its first rows be used */
async function firstFormat(file: string, format: GivenFormat): Promise<RowFormat> {
  let worst: RowProblem | undefined;
  let count = 0;
  for await (const one of streamRows([file], { format })) {
    if (!isProblem(one)) return one.format;
    worst ??= one;
    if (++count === LOOKED_AT) break;
  }
  if (worst === undefined) throw noRows([file]);
  throw new FedloraError(worst.code, `None of the first ${count} rows can be used: the first ${worst.reason}.`, {
    where: `${worst.file}:${worst.line}`,
  });
}

async function devices(config: () => Promise<ClientConfig>): Promise<string> {
  const { describeDevices } = await import('./devices.js');
  return describeDevices((await config()).engine);
}

/** What training may take of this machine, and whether the GPU's load can be known. */
async function limits(
  home: Home,
  config: () => Promise<ClientConfig>,
  environment: NodeJS.ProcessEnv,
): Promise<string> {
  const { memoryMiB, gpuBusyPercent, nice } = (await config()).limits;
  const { gpuHoursPerPeriod, periodDays, hours } = (await readPolicy(home.policy)).terms;
  const load = await gpuLoad(environment);
  const isLookedAt = gpuBusyPercent === undefined ? 'not looked at' : `busy from ${gpuBusyPercent} %`;
  return [
    `memory ${memoryMiB === undefined ? 'without limit' : `${memoryMiB} MiB`}, nice ${nice}`,
    `hours ${hours.windows.length === 0 ? 'any' : hours.windows.join(', ')}, training ${gpuHoursPerPeriod === undefined ? 'without limit' : `${gpuHoursPerPeriod} h in ${periodDays} days`}`,
    `GPU load ${load.kind === 'known' ? `${load.percent} %` : `not available: ${load.why}`}; ${isLookedAt}`,
  ].join('\n');
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
