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
    ['a file that is no JSON', ['--config', file('port: 1')], { FEDLORA_FEDERATION_KEY: key }],
    ['another argument', ['--port', '1'], { FEDLORA_FEDERATION_KEY: key }],
  ])('refuses %s', (_what, args, environment) => {
    expect(() => loadConfig(args, environment)).toThrow(expect.objectContaining({ code: 'config/invalid' }) as Error);
  });
});
