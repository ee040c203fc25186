/**
 * The coordinator's process configuration: from a JSON file and the environment, read once, frozen.
 *
 * It holds no privacy setting: those are in each run's signed manifest.
 */

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { readDatabaseUrl } from './database-url.js';
import { readRedisUrl } from './redis-url.js';
import { oidcOf, type OidcConfig } from './oidc-config.js';
import { blobsOf, type BlobsConfig } from './blobs-config.js';

export const logLevels = ['error', 'warn', 'info', 'debug', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface CoordinatorConfig {
  /** Folder of everything the coordinator keeps: database, adapter versions, contributions, keys. Environment: FEDLORA_DATA. */
  readonly dataFolder: string;
  /** Address to listen on. The default is reachable from this machine only: put TLS in front before changing it. FEDLORA_HOST. */
  readonly host: string;
  /** 0 takes any free port; `address.json` in the data folder then tells which. FEDLORA_PORT. */
  readonly port: number;
  /** `error`, `warn`, `info`, `debug` or `silent`; `info` writes about ten lines a round. FEDLORA_LOG_LEVEL. */
  readonly logLevel: LogLevel;
  /**
   * Addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: IP addresses, networks such as `10.0.0.0/8`, or
   * `loopback`; default none. Without it everybody behind a proxy has its address, and sign-ins have no `Secure` cookie.
   * FEDLORA_TRUSTED_PROXIES, with commas.
   */
  readonly trustedProxies?: readonly string[];
  /** Required. Ed25519 public key, 64 hex digits: certifies members. `fedlora federation init` makes it. FEDLORA_FEDERATION_KEY. */
  readonly federationKey: string;
  /**
   * PostgreSQL for the coordinator's state: `postgres://user:password@host:5432/database`; default none, which keeps it in one SQLite file
   * of the data folder. The address has a password, so rather give it as FEDLORA_DATABASE_URL.
   */
  readonly databaseUrl?: string;
  /**
   * How long nobody drives the rounds after the driver of several coordinators on one database has died without a word: from 3 to 300,
   * the same for all. Shorter takes over sooner; longer bears a driver that was slow to answer. FEDLORA_LEASE_SECONDS.
   */
  readonly leaseSeconds?: number;
  /**
   * At which the other coordinators on the database reach this one: `http://10.0.0.5:7400` on a network that nobody else is on, or
   * `https://` with TLS ended by a proxy before it; default none. With it whatever only the driver can answer may come to any of them, and
   * is passed on to it. It needs `databaseUrl`. FEDLORA_PEER_URL.
   */
  readonly peerUrl?: string;
  /**
   * Redis for workers that sum large updates: `rediss://user:password@host:6379`; default none, then the coordinator sums them itself. A
   * coordinator needs `databaseUrl` with it, a worker does not. It holds nothing that is not in the database or the store as well. Rather
   * give it as FEDLORA_REDIS_URL.
   */
  readonly redisUrl?: string;
  /**
   * File of the key that signs versions, as 64 hex digits, where it is to come from a store of secrets: the same key for several
   * coordinators. Default `coordinator.key` in the data folder, which the first start makes. FEDLORA_COORDINATOR_KEY_FILE.
   */
  readonly coordinatorKeyFile?: string;
  /** The identity provider that users may sign in with; default none. In the file an object, in the environment FEDLORA_OIDC_*. */
  readonly oidc?: OidcConfig;
  /** Where adapter versions, contributions and optimizer states are kept; default the data folder. */
  readonly blobs?: BlobsConfig;
}

type Setting = { readonly environment: string; readonly default?: string | number | readonly string[] };

const settings: { readonly [Key in Exclude<keyof CoordinatorConfig, 'oidc' | 'blobs'>]-?: Setting } = {
  dataFolder: { environment: 'FEDLORA_DATA', default: './fedlora-coordinator' },
  host: { environment: 'FEDLORA_HOST', default: '127.0.0.1' },
  port: { environment: 'FEDLORA_PORT', default: 7400 },
  logLevel: { environment: 'FEDLORA_LOG_LEVEL', default: 'info' },
  trustedProxies: { environment: 'FEDLORA_TRUSTED_PROXIES', default: [] },
  federationKey: { environment: 'FEDLORA_FEDERATION_KEY' },
  databaseUrl: { environment: 'FEDLORA_DATABASE_URL' },
  leaseSeconds: { environment: 'FEDLORA_LEASE_SECONDS', default: 15 },
  peerUrl: { environment: 'FEDLORA_PEER_URL' },
  redisUrl: { environment: 'FEDLORA_REDIS_URL' },
  coordinatorKeyFile: { environment: 'FEDLORA_COORDINATOR_KEY_FILE' },
};

/**
 * The configuration from command-line arguments (`--config FILE`) and the environment, which wins over the file.
 *
 * @param program for which it is; a worker opens no database
 * @throws FedloraError config/invalid: names the setting
 */
export function loadConfig(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  program: 'coordinator' | 'worker' = 'coordinator',
): CoordinatorConfig {
  const file = readConfigFile(configPath(args));
  const known = [...Object.keys(settings), 'oidc', 'blobs'];
  const unknown = Object.keys(file).filter((key) => !known.includes(key));
  if (unknown.length > 0) refuse(unknown[0], `is no setting. Known: ${known.join(', ')}.`);
  const values = Object.fromEntries(
    Object.entries(settings).map(([key, setting]) => {
      const fromEnvironment = environment[setting.environment];
      return [
        key,
        fromEnvironment !== undefined && fromEnvironment !== '' ? fromEnvironment : (file[key] ?? setting.default),
      ];
    }),
  );
  const config = checkConfig(values, oidcOf(file.oidc, environment), blobsOf(file.blobs, environment));
  if (program === 'coordinator' && config.redisUrl !== undefined && config.databaseUrl === undefined)
    return refuse('redisUrl', 'is for several coordinators, which need databaseUrl as well.');
  return config;
}

function checkConfig(
  values: Readonly<Record<string, unknown>>,
  oidc: OidcConfig | undefined,
  blobs: BlobsConfig | undefined,
): CoordinatorConfig {
  const { dataFolder, host, logLevel, federationKey } = values;
  if (typeof dataFolder !== 'string' || dataFolder === '') return refuse('dataFolder', 'must be a path.');
  if (typeof host !== 'string' || host === '') return refuse('host', 'must be an address.');
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    return refuse('port', 'must be a whole number from 0 to 65535.');
  const level = logLevels.find((known) => known === logLevel);
  if (level === undefined) return refuse('logLevel', `must be one of ${logLevels.join(', ')}.`);
  if (typeof federationKey !== 'string' || !/^[0-9a-f]{64}$/.test(federationKey)) {
    return refuse('federationKey', 'is required: 64 hex digits, as `fedlora federation init` prints them.');
  }
  const trustedProxies = proxiesOf(values.trustedProxies);
  const { databaseUrl } = values;
  if (databaseUrl !== undefined && typeof databaseUrl !== 'string') return refuse('databaseUrl', 'must be a text.');
  if (databaseUrl !== undefined) readDatabaseUrl(databaseUrl);
  const leaseSeconds = Number(values.leaseSeconds);
  if (!Number.isInteger(leaseSeconds) || leaseSeconds < 3 || leaseSeconds > 300)
    return refuse('leaseSeconds', 'must be a whole number from 3 to 300.');
  if (values.redisUrl !== undefined && typeof values.redisUrl !== 'string')
    return refuse('redisUrl', 'must be a text.');
  const redisUrl = values.redisUrl === undefined ? undefined : readRedisUrl(values.redisUrl);
  const peerUrl = values.peerUrl === undefined ? undefined : peerUrlOf(values.peerUrl);
  if (peerUrl !== undefined && databaseUrl === undefined)
    return refuse('peerUrl', 'is for several coordinators, which need databaseUrl as well.');
  const { coordinatorKeyFile } = values;
  if (coordinatorKeyFile !== undefined && (typeof coordinatorKeyFile !== 'string' || coordinatorKeyFile === ''))
    return refuse('coordinatorKeyFile', 'must be a path.');
  return Object.freeze({
    dataFolder: resolve(dataFolder),
    host,
    port,
    logLevel: level,
    trustedProxies,
    federationKey,
    ...(databaseUrl === undefined ? {} : { databaseUrl }),
    leaseSeconds,
    ...(peerUrl === undefined ? {} : { peerUrl }),
    ...(redisUrl === undefined ? {} : { redisUrl }),
    ...(coordinatorKeyFile === undefined ? {} : { coordinatorKeyFile: resolve(coordinatorKeyFile) }),
    ...(oidc === undefined ? {} : { oidc }),
    ...(blobs === undefined ? {} : { blobs }),
  });
}

/** As an origin, which two spellings of the same address share. */
function peerUrlOf(value: unknown): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const isOrigin = url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.href === `${url.origin}/`;
  const isOne = isOrigin && !['0.0.0.0', '[::]'].includes(url.hostname) && url.port !== '0';
  if (!isOne)
    return refuse('peerUrl', 'must be the address of this coordinator for the others, such as http://10.0.0.5:7400.');
  return url.origin;
}

function proxiesOf(value: unknown): readonly string[] {
  const list: unknown = typeof value === 'string' ? value.split(',').map((part) => part.trim()) : value;
  if (!Array.isArray(list) || !list.every(isProxy))
    return refuse('trustedProxies', 'must be a list of IP addresses, networks such as 10.0.0.0/8, or "loopback".');
  return list;
}

function isProxy(value: unknown): value is string {
  if (value === 'loopback') return true;
  const [address, bits, ...rest] = typeof value === 'string' ? value.split('/') : [''];
  const most = isIP(address) === 4 ? 32 : 128;
  return (
    isIP(address) !== 0 && rest.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
  );
}

function configPath(args: readonly string[]): string | undefined {
  if (args.length === 0) return undefined;
  const [flag, path, ...rest] = args;
  if (flag !== '--config' || path === undefined || rest.length > 0) {
    throw new FedloraError(
      'config/invalid',
      'Usage: fedlora-coordinator [worker | migrate | admin-link] [--config FILE]',
    );
  }
  return path;
}

function readConfigFile(path: string | undefined): Record<string, unknown> {
  if (path === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new FedloraError('config/invalid', 'The configuration file cannot be read as JSON.', { where: path, cause });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new FedloraError('config/invalid', 'The configuration file is no JSON object.', { where: path });
  }
  return parsed as Record<string, unknown>;
}

function refuse(setting: string, why: string): never {
  throw new FedloraError('config/invalid', `${setting} ${why}`);
}
