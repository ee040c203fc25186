/**
 * The coordinator's process configuration: from a JSON file and the environment, read once, frozen.
 *
 * It holds no privacy setting: those are in each run's signed manifest.
 */

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { oidcOf, type OidcConfig } from './oidc-config.js';

export const logLevels = ['error', 'warn', 'info', 'debug', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

export interface CoordinatorConfig {
  /** Folder of everything the coordinator keeps: database, blobs, adapter versions, keys. Environment: FEDLORA_DATA. */
  readonly dataFolder: string;
  /** Address to listen on. The default is reachable from this machine only: put TLS in front before changing it. FEDLORA_HOST. */
  readonly host: string;
  /** 0 takes any free port; `address.json` in the data folder then tells which. FEDLORA_PORT. */
  readonly port: number;
  /** `info` writes about ten lines a round. FEDLORA_LOG_LEVEL. */
  readonly logLevel: LogLevel;
  /**
   * Addresses of proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed: IP addresses, networks such as `10.0.0.0/8`, or
   * `loopback`; default none. Without it everybody behind a proxy has its address, and sign-ins have no `Secure` cookie.
   * FEDLORA_TRUSTED_PROXIES, with commas.
   */
  readonly trustedProxies?: readonly string[];
  /** Ed25519 public key, 64 hex digits: certifies members. `fedlora federation init` makes it. FEDLORA_FEDERATION_KEY. */
  readonly federationKey: string;
  /** The identity provider that users may sign in with; default none. In the file an object, in the environment FEDLORA_OIDC_*. */
  readonly oidc?: OidcConfig;
}

type Setting = { readonly environment: string; readonly default?: string | number | readonly string[] };

const settings: { readonly [Key in Exclude<keyof CoordinatorConfig, 'oidc'>]-?: Setting } = {
  dataFolder: { environment: 'FEDLORA_DATA', default: './fedlora-coordinator' },
  host: { environment: 'FEDLORA_HOST', default: '127.0.0.1' },
  port: { environment: 'FEDLORA_PORT', default: 7400 },
  logLevel: { environment: 'FEDLORA_LOG_LEVEL', default: 'info' },
  trustedProxies: { environment: 'FEDLORA_TRUSTED_PROXIES', default: [] },
  federationKey: { environment: 'FEDLORA_FEDERATION_KEY' },
};

/**
 * The configuration from command-line arguments (`--config FILE`) and the environment, which wins over the file.
 *
 * @throws FedloraError config/invalid: names the setting
 */
export function loadConfig(args: readonly string[], environment: NodeJS.ProcessEnv): CoordinatorConfig {
  const file = readConfigFile(configPath(args));
  const known = [...Object.keys(settings), 'oidc'];
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
  return checkConfig(values, oidcOf(file.oidc, environment));
}

function checkConfig(values: Readonly<Record<string, unknown>>, oidc: OidcConfig | undefined): CoordinatorConfig {
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
  return Object.freeze({
    dataFolder: resolve(dataFolder),
    host,
    port,
    logLevel: level,
    trustedProxies,
    federationKey,
    ...(oidc === undefined ? {} : { oidc }),
  });
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
    throw new FedloraError('config/invalid', 'Usage: fedlora-coordinator [--config FILE]');
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
