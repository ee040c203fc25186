/** The part of the configuration that says which OpenID Connect provider signs users in, and what its claims mean here. */

import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { FedloraError, roles, type Role } from '@fedlora/shared';

export interface OidcConfig {
  /** Required. As the provider's discovery document names it. `https`; `http` for this machine only. FEDLORA_OIDC_ISSUER. */
  readonly issuer: string;
  /** Required. Where browsers reach the coordinator, without a path: the provider sends them to `/signed-in` there. FEDLORA_OIDC_PUBLIC_URL. */
  readonly publicUrl: string;
  /** Required. Register `<publicUrl>/signed-in` at the provider as the client's redirect address. FEDLORA_OIDC_CLIENT_ID. */
  readonly clientId: string;
  /**
   * Required, and never in the configuration file itself: in the file that `oidc.clientSecretFile` or FEDLORA_OIDC_CLIENT_SECRET_FILE
   * names, or in FEDLORA_OIDC_CLIENT_SECRET.
   */
  readonly clientSecret: string;
  /** Required. Roles by value of the role claim; who has several gets the one that may do most. FEDLORA_OIDC_ROLES, as JSON. */
  readonly roles: Readonly<Record<string, Role>>;
  /** A text or a list of texts; dots lead into objects, as in `realm_access.roles`. Default `groups`. FEDLORA_OIDC_ROLE_CLAIM. */
  readonly roleClaim: string;
  /** What users are called here. Default `preferred_username`. FEDLORA_OIDC_NAME_CLAIM. */
  readonly nameClaim: string;
  /** What is asked for, with spaces. Default `openid profile`. FEDLORA_OIDC_SCOPE. */
  readonly scope: string;
  /** What the provider is called on the page; default: the issuer's host. FEDLORA_OIDC_LABEL. */
  readonly label: string;
}

const environmentOf = {
  issuer: 'FEDLORA_OIDC_ISSUER',
  publicUrl: 'FEDLORA_OIDC_PUBLIC_URL',
  clientId: 'FEDLORA_OIDC_CLIENT_ID',
  clientSecretFile: 'FEDLORA_OIDC_CLIENT_SECRET_FILE',
  roles: 'FEDLORA_OIDC_ROLES',
  roleClaim: 'FEDLORA_OIDC_ROLE_CLAIM',
  nameClaim: 'FEDLORA_OIDC_NAME_CLAIM',
  scope: 'FEDLORA_OIDC_SCOPE',
  label: 'FEDLORA_OIDC_LABEL',
} as const;
/** Never in the configuration file: that is copied and shown around. */
const SECRET_ENVIRONMENT = 'FEDLORA_OIDC_CLIENT_SECRET';

type Name = keyof typeof environmentOf;

/**
 * The provider of a file's `oidc` and the environment, which wins; `undefined` if neither names one.
 *
 * @throws FedloraError config/invalid: names the setting
 */
export function oidcOf(inFile: unknown, environment: NodeJS.ProcessEnv): OidcConfig | undefined {
  if (inFile !== undefined && (typeof inFile !== 'object' || inFile === null || Array.isArray(inFile)))
    refuse('oidc', 'must be an object.');
  const file = (inFile ?? {}) as Readonly<Record<string, unknown>>;
  const names = Object.keys(environmentOf) as Name[];
  const unknown = Object.keys(file).find((name) => !(name in environmentOf));
  if (unknown !== undefined) refuse(`oidc.${unknown}`, `is no setting. Known: ${names.join(', ')}.`);
  const given = Object.fromEntries(
    names.map((name) => [name, presentOf(environment[environmentOf[name]]) ?? file[name]]),
  ) as Readonly<Record<Name, unknown>>;
  const secret = presentOf(environment[SECRET_ENVIRONMENT]);
  if (secret === undefined && names.every((name) => given[name] === undefined)) return undefined;

  const issuer = expectText('oidc.issuer', given.issuer);
  const { host } = expectUrl('oidc.issuer', issuer);
  const publicUrl = expectUrl('oidc.publicUrl', given.publicUrl);
  if (publicUrl.pathname !== '/') refuse('oidc.publicUrl', 'must have no path.');
  return Object.freeze({
    issuer,
    publicUrl: publicUrl.origin,
    clientId: expectText('oidc.clientId', given.clientId),
    clientSecret: secret ?? readSecret(given.clientSecretFile),
    roles: rolesOf(given.roles),
    roleClaim: expectText('oidc.roleClaim', given.roleClaim ?? 'groups'),
    nameClaim: expectText('oidc.nameClaim', given.nameClaim ?? 'preferred_username'),
    scope: scopeOf(given.scope ?? 'openid profile'),
    label: expectText('oidc.label', given.label ?? host),
  });
}

function presentOf(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function expectText(setting: string, value: unknown): string {
  if (typeof value !== 'string' || value.trim() === '' || value.length > 500)
    return refuse(setting, 'is required: a text.');
  return value.trim();
}

/** Without TLS whoever is on the way could read codes and write tokens: only this machine has nobody on the way. */
function expectUrl(setting: string, value: unknown): URL {
  const text = expectText(setting, value);
  if (!URL.canParse(text)) return refuse(setting, 'must be an address, such as https://login.example.org.');
  const url = new URL(text);
  const isSafe = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
  if (!isSafe) refuse(setting, 'must begin with https://; http:// is for this machine (127.0.0.1, localhost) only.');
  if (url.search !== '' || url.hash !== '' || url.username !== '' || url.password !== '')
    refuse(setting, 'must have no query, fragment, user or password.');
  return url;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
}

function readSecret(path: unknown): string {
  if (typeof path !== 'string' || path === '')
    return refuse('oidc.clientSecretFile', `is required: a file with the client secret; or set ${SECRET_ENVIRONMENT}.`);
  let secret: string;
  try {
    secret = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new FedloraError('config/invalid', 'oidc.clientSecretFile cannot be read.', { where: path, cause });
  }
  return secret === '' ? refuse('oidc.clientSecretFile', 'is empty.') : secret;
}

function rolesOf(value: unknown): Readonly<Record<string, Role>> {
  let map = value;
  try {
    if (typeof value === 'string') map = JSON.parse(value);
  } catch {
    map = undefined;
  }
  const entries = typeof map === 'object' && map !== null && !Array.isArray(map) ? Object.entries(map) : [];
  if (entries.length === 0 || !entries.every(([, role]) => (roles as readonly unknown[]).includes(role)))
    return refuse(
      'oidc.roles',
      `must say which claim values give which role: { "a-group": "${roles.join('" | "')}" }.`,
    );
  return Object.freeze(Object.fromEntries(entries) as Record<string, Role>);
}

function scopeOf(value: unknown): string {
  const scope = expectText('oidc.scope', value);
  return scope.split(/\s+/).includes('openid') ? scope : refuse('oidc.scope', 'must have "openid" in it.');
}

function refuse(setting: string, why: string): never {
  throw new FedloraError('config/invalid', `${setting} ${why}`);
}
