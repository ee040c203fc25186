import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from './coordinator-config.js';

const key = 'a'.repeat(64);

function file(content: unknown): string {
  const path = join(mkdtempSync(join(tmpdir(), 'fedlora-config-')), 'coordinator.json');
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('loadConfig', () => {
  it('listens on this machine only unless told otherwise', () => {
    expect(loadConfig([], { FEDLORA_FEDERATION_KEY: key })).toMatchObject({
      host: '127.0.0.1',
      port: 7400,
      logLevel: 'info',
    });
  });

  it('has a lease of a quarter of a minute unless told otherwise', () => {
    const environment = { FEDLORA_FEDERATION_KEY: key };
    expect(loadConfig([], environment).leaseSeconds).toBe(15);
    expect(loadConfig([], { ...environment, FEDLORA_LEASE_SECONDS: '30' }).leaseSeconds).toBe(30);
  });

  it('takes the address for its peers, as an origin, only where there can be any', () => {
    const environment = { FEDLORA_FEDERATION_KEY: key, FEDLORA_PEER_URL: 'http://Coordinator-0:7400/' };
    const database = { FEDLORA_DATABASE_URL: 'postgres://fedlora@127.0.0.1:5432/fedlora' };
    expect(loadConfig([], { ...environment, ...database }).peerUrl).toBe('http://coordinator-0:7400');
    const byTls = { ...environment, ...database, FEDLORA_PEER_URL: 'https://10.0.0.5' };
    expect(loadConfig([], byTls).peerUrl).toBe('https://10.0.0.5');
    expect(() => loadConfig([], environment)).toThrow('peerUrl is for several coordinators');
    for (const wrong of [
      '10.0.0.5:7400',
      'ftp://10.0.0.5',
      'http://a:b@10.0.0.5',
      'http://10.0.0.5/a',
      'http://0.0.0.0:7400',
    ])
      expect(() => loadConfig([], { ...environment, ...database, FEDLORA_PEER_URL: wrong }), wrong).toThrow(
        'peerUrl must be',
      );
  });

  it('takes Redis for a worker without a database, and for a coordinator only with one', () => {
    const environment = { FEDLORA_FEDERATION_KEY: key, FEDLORA_REDIS_URL: 'rediss://redis.example.org:6379' };
    expect(loadConfig([], environment, 'worker').redisUrl).toBe('rediss://redis.example.org:6379');
    expect(() => loadConfig([], environment)).toThrow(/redisUrl .* databaseUrl/);
    const both = { ...environment, FEDLORA_DATABASE_URL: 'postgres://a:b@localhost:5432/c' };
    expect(loadConfig([], both).redisUrl).toBe('rediss://redis.example.org:6379');
  });

  it('reads the file, and the environment wins', () => {
    const path = file({ port: 1, host: '::', dataFolder: '/data', federationKey: key });
    expect(loadConfig(['--config', path], { FEDLORA_PORT: '2' })).toMatchObject({
      port: 2,
      host: '::',
      dataFolder: '/data',
    });
  });

  it.each([
    ['no federation key', [], {}],
    ['an unknown setting', ['--config', file({ federationKey: key, epsilon: 3 })], {}],
    ['a port that is none', [], { FEDLORA_FEDERATION_KEY: key, FEDLORA_PORT: 'http' }],
    ['an unknown log level', [], { FEDLORA_FEDERATION_KEY: key, FEDLORA_LOG_LEVEL: 'loud' }],
    ['a lease of no time', [], { FEDLORA_FEDERATION_KEY: key, FEDLORA_LEASE_SECONDS: '2' }],
    ['a lease without end', [], { FEDLORA_FEDERATION_KEY: key, FEDLORA_LEASE_SECONDS: '301' }],
    ['a file that is no JSON', ['--config', file('port: 1')], { FEDLORA_FEDERATION_KEY: key }],
    ['another argument', ['--port', '1'], { FEDLORA_FEDERATION_KEY: key }],
  ])('refuses %s', (_what, args, environment) => {
    expect(() => loadConfig(args, environment)).toThrow(expect.objectContaining({ code: 'config/invalid' }) as Error);
  });
});

describe('loadConfig of blobs', () => {
  const load = (blobs: unknown, environment: NodeJS.ProcessEnv = {}) =>
    loadConfig(['--config', file({ federationKey: key, blobs })], environment).blobs;

  it('keeps them in the data folder unless a bucket is named', () => {
    expect(loadConfig([], { FEDLORA_FEDERATION_KEY: key, FEDLORA_S3_BUCKET: '' })).not.toHaveProperty('blobs');
  });

  it('takes a bucket from the file, and the environment wins', () => {
    expect(load({ s3: { bucket: 'from-file', prefix: 'a/b' } })).toEqual({
      s3: { bucket: 'from-file', region: 'us-east-1', prefix: 'a/b' },
    });
    const environment = { FEDLORA_S3_BUCKET: 'from-environment', FEDLORA_S3_ENDPOINT: 'https://s3.example.org' };
    expect(load({ s3: { bucket: 'from-file', region: 'eu-central-1' } }, environment)).toEqual({
      s3: { bucket: 'from-environment', region: 'eu-central-1', endpoint: 'https://s3.example.org', prefix: '' },
    });
  });

  it.each([
    ['blobs', 'a bucket'],
    ['blobs.folder', { folder: '/data' }],
    ['blobs.s3.bucket', { s3: { region: 'eu-central-1' } }],
    ['blobs.s3.bucket', { s3: { bucket: 'Capitals' } }],
    ['blobs.s3.region', { s3: { bucket: 'blobs', region: '../eu' } }],
    ['blobs.s3.endpoint', { s3: { bucket: 'blobs', endpoint: 's3.example.org' } }],
    ['blobs.s3.prefix', { s3: { bucket: 'blobs', prefix: '/a' } }],
    ['blobs.s3.secretAccessKey', { s3: { bucket: 'blobs', secretAccessKey: 'in a file that is shown around' } }],
  ])('names %s where it is wrong', (setting, blobs) => {
    expect(() => load(blobs)).toThrow(
      expect.objectContaining({ summary: expect.stringContaining(`${setting} `) as string }) as Error,
    );
  });
});

describe('loadConfig of an identity provider', () => {
  const oidc = {
    issuer: 'https://login.example.org/realms/main',
    publicUrl: 'https://fedlora.example.org',
    clientId: 'fedlora',
    roles: { 'fl-admins': 'admin' },
  };
  const environment = { FEDLORA_FEDERATION_KEY: key, FEDLORA_OIDC_CLIENT_SECRET: 'secret' };
  const load = (content: object, more: NodeJS.ProcessEnv = environment) =>
    loadConfig(['--config', file({ oidc: content })], { FEDLORA_FEDERATION_KEY: key, ...more }).oidc;

  it('has none unless told', () => {
    expect(loadConfig([], { FEDLORA_FEDERATION_KEY: key })).not.toHaveProperty('oidc');
  });

  it('takes the usual claims unless told otherwise, and the secret from the environment', () => {
    expect(load(oidc)).toEqual({
      ...oidc,
      clientSecret: 'secret',
      roleClaim: 'groups',
      nameClaim: 'preferred_username',
      scope: 'openid profile',
      label: 'login.example.org',
    });
  });

  it('reads the secret from a file, and everything from the environment, which wins', () => {
    const clientSecretFile = file('from the file\n');
    expect(load({ ...oidc, clientSecretFile }, {})?.clientSecret).toBe('from the file');
    const variables = {
      FEDLORA_OIDC_ISSUER: 'http://127.0.0.1:9000',
      FEDLORA_OIDC_PUBLIC_URL: 'http://localhost:7400/',
      FEDLORA_OIDC_CLIENT_ID: 'other',
      FEDLORA_OIDC_CLIENT_SECRET_FILE: clientSecretFile,
      FEDLORA_OIDC_ROLES: '{"cn=ops,dc=example":"operator"}',
      FEDLORA_OIDC_LABEL: 'Login',
    };
    expect(load({ ...oidc, clientSecretFile: '/nowhere' }, variables)).toMatchObject({
      issuer: 'http://127.0.0.1:9000',
      publicUrl: 'http://localhost:7400',
      clientId: 'other',
      clientSecret: 'from the file',
      roles: { 'cn=ops,dc=example': 'operator' },
      label: 'Login',
    });
  });

  it.each<[string, object, string]>([
    ['http to another machine', { issuer: 'http://login.example.org' }, 'oidc.issuer'],
    ['http to a host that only begins like this one', { issuer: 'http://127.0.0.1.example.org' }, 'oidc.issuer'],
    ['an issuer with a query', { issuer: 'https://login.example.org/?a=b' }, 'oidc.issuer'],
    ['an issuer that is no address', { issuer: 'login.example.org' }, 'oidc.issuer'],
    ['no issuer', { issuer: undefined }, 'oidc.issuer'],
    ['a public address over http', { publicUrl: 'http://fedlora.example.org' }, 'oidc.publicUrl'],
    ['a public address with a path', { publicUrl: 'https://example.org/fedlora' }, 'oidc.publicUrl'],
    ['no client id', { clientId: '' }, 'oidc.clientId'],
    ['a role that there is none of', { roles: { staff: 'root' } }, 'oidc.roles'],
    ['no roles', { roles: {} }, 'oidc.roles'],
    ['a scope without openid', { scope: 'profile' }, 'oidc.scope'],
    ['the secret itself in the file', { clientSecret: 'secret' }, 'oidc.clientSecret'],
  ])('refuses %s, by the name of the setting', (_what, change, setting) => {
    expect(() => load({ ...oidc, ...change })).toThrow(
      expect.objectContaining({
        code: 'config/invalid',
        summary: expect.stringContaining(`${setting} `) as string,
      }) as Error,
    );
  });

  it.each([
    ['no secret', {}],
    ['a secret file that is not there', { clientSecretFile: '/nowhere/secret' }],
    ['an empty secret file', { clientSecretFile: file(' \n') }],
  ])('refuses %s', (_what, change) => {
    expect(() => load({ ...oidc, ...change }, {})).toThrow(
      expect.objectContaining({
        code: 'config/invalid',
        summary: expect.stringContaining('oidc.clientSecretFile') as string,
      }) as Error,
    );
  });
});
