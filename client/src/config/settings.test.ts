import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configSettings, readConfig, writeConfig } from './client-config.js';
import { policySettings, readPolicy, writePolicy } from './policy-file.js';

const file = async (content: string): Promise<string> => {
  const path = join(await mkdtemp(join(tmpdir(), 'fedlora-config-')), 'config.yaml');
  await writeFile(path, content);
  return path;
};
const minimal = 'coordinator: https://example.org/\norganisation: clinic\n';

describe('config.yaml', () => {
  it('needs little and defaults the rest', async () => {
    const { config } = await readConfig(await file(minimal), {});
    expect(config).toMatchObject({
      coordinator: 'https://example.org',
      organisation: 'clinic',
      logLevel: 'info',
      engine: { name: 'onnx', device: 'auto' },
    });
  });

  it('places relative paths beside the file', async () => {
    const path = await file(`${minimal}base: model\ndataset:\n  files: [rows.jsonl]\n`);
    const { config } = await readConfig(path, {});
    expect(config.base).toBe(join(path, '..', 'model'));
    expect(config.dataset.files).toEqual([join(path, '..', 'rows.jsonl')]);
  });

  it('has a status page nowhere, unless it says where on this machine', async () => {
    expect((await readConfig(await file(minimal), {})).config.statusPage).toBeUndefined();
    const path = await file(`${minimal}statusPage: unix:status.sock\n`);
    expect((await readConfig(path, {})).config.statusPage).toEqual({
      kind: 'unix',
      path: join(path, '..', 'status.sock'),
    });
    const outside = readConfig(await file(`${minimal}statusPage: 0.0.0.0:7401\n`), {});
    await expect(outside).rejects.toThrow('must be a loopback address');
  });

  it('says where each value comes from', async () => {
    const { sources, config } = await readConfig(await file(`${minimal}engine:\n  threads: 2\n`), {
      FEDLORA_LOG_LEVEL: 'debug',
    });
    expect(config).toMatchObject({ logLevel: 'debug', engine: { threads: 2 } });
    expect(sources.get('logLevel')?.source).toBe('environment');
    expect(sources.get('engine.threads')?.source).toBe('file');
    expect(sources.get('keepVersions')?.source).toBe('default');
  });

  it.each([
    ['a key that is no setting', `${minimal}engin:\n  threads: 1\n`, 'config/unknown-key'],
    ['a key that is no setting inside a section', `${minimal}engine:\n  thread: 1\n`, 'config/unknown-key'],
    ['a value of the wrong kind', `${minimal}engine:\n  threads: many\n`, 'config/invalid'],
    ['a section that is a value', `${minimal}engine: fast\n`, 'config/unknown-key'],
    ['a device that its engine does not have', `${minimal}engine:\n  name: tfjs\n  device: webgpu\n`, 'config/invalid'],
    ['no coordinator', 'organisation: clinic\n', 'config/invalid'],
    ['an address that is none', 'coordinator: ftp://x\norganisation: clinic\n', 'config/invalid'],
    [
      'attack: plain http to another machine',
      'coordinator: http://example.org\norganisation: clinic\n',
      'config/invalid',
    ],
    [
      'attack: a name like loopback',
      'coordinator: http://127.0.0.1.example.org\norganisation: clinic\n',
      'config/invalid',
    ],
    [
      'attack: a user like loopback',
      'coordinator: http://localhost@example.org\norganisation: clinic\n',
      'config/invalid',
    ],
    ['no YAML', 'a: [1', 'config/invalid'],
  ])('is refused with %s', async (_name, content, code) => {
    await expect(readConfig(await file(content), {})).rejects.toMatchObject({ code });
  });

  it.each([
    'http://localhost:8080',
    'http://127.0.0.1:1',
    'http://127.9.9.9',
    'http://[::1]:80/',
    'https://example.org',
  ])('takes %s', async (address) => {
    await expect(
      readConfig(await file(`coordinator: "${address}"\norganisation: clinic\n`), {}),
    ).resolves.toBeDefined();
  });

  it('is written with every key, and read back', async () => {
    const path = await file('');
    await writeConfig(
      path,
      new Map<string, unknown>([
        ['coordinator', 'http://127.0.0.1:1'],
        ['organisation', 'clinic'],
        ['dataset.files', ['/a b.jsonl']],
      ]),
    );
    const { readFile } = await import('node:fs/promises');
    const content = await readFile(path, 'utf8');
    for (const { key } of configSettings) expect(content).toContain(`${key.split('.').at(-1)}:`);
    expect((await readConfig(path, {})).config.dataset.files).toEqual(['/a b.jsonl']);
  });
});

describe('policy.yaml', () => {
  it('allows no base model until the owner says which', async () => {
    const { terms } = await readPolicy(await file(''));
    expect(terms).toMatchObject({
      allowedBases: [],
      requireDifferentialPrivacy: true,
      maximumDelta: 1e-5,
      allowedUnits: ['record', 'record-local', 'client'],
    });
  });

  it('is written with every key, and read back', async () => {
    const path = await file('');
    await writePolicy(
      path,
      new Map<string, unknown>([
        ['epsilonCap', 3],
        ['allowedBases', ['a'.repeat(64)]],
      ]),
    );
    const { terms, sources } = await readPolicy(path);
    expect(terms).toMatchObject({ epsilonCap: 3, allowedBases: ['a'.repeat(64)] });
    expect([...sources.keys()]).toEqual(policySettings.map(({ key }) => key));
  });

  it('is refused with an unknown key: a limit that is misspelt must not be a limit that is missing', async () => {
    await expect(readPolicy(await file('epsilonCapp: 1\n'))).rejects.toMatchObject({ code: 'config/unknown-key' });
  });
});
