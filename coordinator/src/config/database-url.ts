/** The address of a PostgreSQL database, as operators write it: `postgres://user:password@host:5432/database?sslmode=verify-full`. */

import { readFileSync } from 'node:fs';
import { FedloraError } from '@fedlora/shared';

export interface PostgresAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Without one PGPASSWORD or a .pgpass file may have it, or the server asks for none. Never logged. */
  readonly password?: string;
  /** `false`: the connection is not encrypted. The texts are PEM. */
  readonly tls: false | { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

const modes = ['verify-full', 'disable'] as const;
const files = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key' } as const;
const parameters = ['sslmode', ...Object.keys(files)];

/**
 * Reads an address. Without `sslmode` a server on this machine is spoken to as it is, and every other by TLS with a checked certificate.
 *
 * @throws FedloraError config/invalid: says what is wrong, and nothing of the address itself, which has a password
 */
export function readDatabaseUrl(text: string): PostgresAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['postgres:', 'postgresql:'].includes(url.protocol))
    return refuse(
      'must look like postgres://user:password@host:5432/database, with special characters percent-encoded.',
    );
  const [host, database, user] = [hostOf(url), decoded(url.pathname.slice(1)), decoded(url.username)];
  if (host === '' || database === '' || user === '' || database.includes('/'))
    return refuse('must name a user, a host and a database.');
  const unknown = [...url.searchParams.keys()].find((name) => !parameters.includes(name));
  if (unknown !== undefined) return refuse(`has a parameter that is not known. Known: ${parameters.join(', ')}.`);
  const password = decoded(url.password);
  return {
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    database,
    user,
    ...(password === '' ? {} : { password }),
    tls: tlsOf(url.searchParams, host),
  };
}

function tlsOf(query: URLSearchParams, host: string): PostgresAddress['tls'] {
  const named = Object.entries(files).filter(([parameter]) => query.has(parameter));
  const isHere = ['localhost', '127.0.0.1', '::1'].includes(host);
  const asked = query.get('sslmode') ?? (isHere && named.length === 0 ? 'disable' : 'verify-full');
  const mode = modes.find((known) => known === asked);
  if (mode === undefined)
    return refuse(
      'sslmode must be verify-full, or disable on a network that nobody else is on: the modes in between encrypt for whoever answers. ' +
        'sslrootcert names the file of the certificate authority where the system does not know it.',
    );
  if (mode === 'verify-full') return Object.fromEntries(named.map(([parameter, key]) => [key, pem(parameter, query)]));
  return named.length === 0 ? false : refuse(`names ${named[0][0]} and sslmode=disable, which contradict each other.`);
}

function pem(parameter: string, query: URLSearchParams): string {
  try {
    return readFileSync(query.get(parameter) ?? '', 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    return refuse(`${parameter} names a file that cannot be read (${code ?? 'unknown'}).`);
  }
}

/** IPv6 addresses come in brackets. */
function hostOf({ hostname }: URL): string {
  return decoded(hostname).replace(/^\[(.+)\]$/, '$1');
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse('has a percent sign that encodes nothing: write it as %25.');
  }
}

function refuse(why: string): never {
  throw new FedloraError('config/invalid', `databaseUrl ${why}`);
}
