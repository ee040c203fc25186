import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from './coordinator-config.js';
import { readDatabaseUrl } from './database-url.js';

const authority = join(mkdtempSync(join(tmpdir(), 'fedlora-database-url-')), 'authority.pem');
writeFileSync(authority, 'PEM');

describe('the address of a database', () => {
  it('names host, port, database and user, and encodes what is special', () => {
    expect(readDatabaseUrl('postgres://fl%40b:p%2Fw%25@db.example.org:6432/fed-lora')).toEqual({
      host: 'db.example.org',
      port: 6432,
      database: 'fed-lora',
      user: 'fl@b',
      password: 'p/w%',
      tls: {},
    });
  });

  it('is spoken to by TLS with a checked certificate, but for a server on this machine', () => {
    const tlsOf = (url: string) => readDatabaseUrl(url).tls;
    expect(tlsOf('postgresql://a@db.example.org/a')).toEqual({});
    expect(tlsOf('postgresql://a@[::1]/a')).toBe(false);
    expect(tlsOf('postgresql://a@10.0.0.1/a?sslmode=disable')).toBe(false);
    expect(tlsOf('postgresql://a@localhost/a?sslmode=verify-full')).toEqual({});
    expect(tlsOf(`postgresql://a@localhost/a?sslrootcert=${authority}`)).toEqual({ ca: 'PEM' });
  });

  it('may be left out, which keeps the embedded database', () => {
    const environment = { FEDLORA_FEDERATION_KEY: 'a'.repeat(64), FEDLORA_DATABASE_URL: '' };
    expect(loadConfig([], environment)).not.toHaveProperty('databaseUrl');
  });

  it.each([
    ['another scheme', 'mysql://u:hunter2@h/d'],
    ['no database', 'postgres://u:hunter2@h'],
    ['no user', 'postgres://h/d'],
    ['two databases', 'postgres://u:hunter2@h/d/e'],
    ['an unknown parameter', 'postgres://u:hunter2@h/d?hunter2=1'],
    ['encryption for whoever answers', 'postgres://u:hunter2@h/d?sslmode=require'],
    ['an authority for no encryption', `postgres://u:hunter2@h/d?sslmode=disable&sslrootcert=${authority}`],
    ['a file that there is not', 'postgres://u:hunter2@h/d?sslrootcert=/nowhere/hunter2.pem'],
    ['a percent sign of its own', 'postgres://u:hunter2%@h/d'],
  ])('is refused without being quoted: %s', (_what, url) => {
    const environment = { FEDLORA_FEDERATION_KEY: 'a'.repeat(64), FEDLORA_DATABASE_URL: url };
    expect(() => loadConfig([], environment)).toThrow(/^databaseUrl (?!.*hunter2)/);
  });
});
