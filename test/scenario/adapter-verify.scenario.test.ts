/** Whoever uses an adapter checks it offline: `fedlora adapter verify` against what a coordinator published, and against tampering. */

import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeFloats, readSafetensors, routes, type Attestation, type SigningKeyView } from '@fedlora/shared';
import { gguf } from '@huggingface/gguf';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runCommand } from '../../client/src/cli/program.js';
import { measuredBase, measuredRun, ReleaseNetwork } from '../support/release-network.js';

const MEASURED = [
  { loss: 2, exact: 0.1 },
  { loss: 1, exact: 0.5 },
];
const WEIGHTS = 'adapter_model.safetensors';
const STATEMENT = 'attestation.intoto.jsonl';

let network: ReleaseNetwork;
let versions: string[];
let key: string;
let folder: string;
/** A copy of the newest version, to tamper with. */
let copy: string;

const at = (name: string): string => join(copy, name);
const published = (number: number, name: string): string => join(network.folder, 'versions', versions[number], name);

const verify = (...more: string[]): ReturnType<typeof run> => run('verify', copy, ...more);

async function run(...args: string[]): Promise<{ code: number; out: string; error: string }> {
  let out = '';
  let error = '';
  const code = await runCommand(['adapter', ...args], {
    out: (line) => (out += `${line}\n`),
    write: (text) => (out += text),
    error: (line) => (error += `${line}\n`),
    progress: () => undefined,
    environment: { FEDLORA_HOME: join(folder, 'nobody') },
    readInput: () => Promise.resolve(''),
    askSecret: () => Promise.resolve(undefined),
    ask: () => Promise.resolve(undefined),
  });
  return { code, out, error };
}

async function edit(name: string, change: (text: string) => string): Promise<void> {
  await writeFile(at(name), change(await readFile(at(name), 'utf8')));
}

async function flipByte(name: string, position: number): Promise<void> {
  const bytes = await readFile(at(name));
  bytes[position] ^= 1;
  await writeFile(at(name), bytes);
}

beforeAll(async () => {
  network = await ReleaseNetwork.start(MEASURED);
  await network.complete(measuredRun('city/support', MEASURED.length));
  versions = await network.versionsOf('city/support');
  key = (await network.operate<SigningKeyView>('GET', routes.signingKey)).publicKey;
  folder = await mkdtemp(join(tmpdir(), 'fedlora-verify-'));
});
afterAll(async () => {
  await network?.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(async () => {
  copy = await mkdtemp(join(folder, 'copy-'));
  await cp(join(network.folder, 'versions', versions[2]), copy, { recursive: true });
});

describe('fedlora adapter verify', () => {
  it('says what an adapter is that nobody touched', async () => {
    const { code, out } = await verify('--key', key);
    expect(code).toBe(0);
    expect(out).toContain(`${versions[2]} is as its coordinator published it.`);
    expect(out).toContain('Base model  tiny');
    expect(out).toContain('2 rounds');
    expect(out).toContain('none: no noise was added');
    const shown = JSON.parse((await verify('--key', key, '--json')).out) as object;
    expect(shown).toMatchObject({ id: versions[2], isAttested: true, signedBy: key });
  });

  it('takes the links of a download cache for files, and its folder for none of ours', async () => {
    await mkdir(at('.cache'));
    await cp(at(WEIGHTS), join(folder, 'blob'));
    await rm(at(WEIGHTS));
    await symlink(join(folder, 'blob'), at(WEIGHTS));
    expect((await verify('--key', key)).code).toBe(0);
  });

  it('needs no statement of a version of before there were any', async () => {
    await rm(at(STATEMENT));
    const { code, out } = await verify('--key', key);
    expect(code).toBe(0);
    expect(out).not.toContain('in-toto');
  });

  it('asks for a key where none is pinned', async () => {
    const { code, error } = await verify();
    expect(code).toBe(20);
    expect(error).toContain('--key');
  });

  it.each<[string, () => Promise<unknown>, string]>([
    ['a byte of the weights', () => flipByte(WEIGHTS, 500), `${WEIGHTS} was changed`],
    ['weights that were cut short', () => truncate(at(WEIGHTS), 1000), `${WEIGHTS} has 1000 bytes`],
    ['weights with something after them', () => appendFile(at(WEIGHTS), 'x'), `${WEIGHTS} has`],
    ['weights of another version', () => cp(published(1, WEIGHTS), at(WEIGHTS)), `${WEIGHTS} was changed`],
    [
      'another base model in the configuration',
      () => edit('adapter_config.json', (text) => text.replace('"tiny"', '"evil"')),
      'adapter_config.json was changed',
    ],
    [
      'a card that promises more',
      () => edit('README.md', (text) => text.replace('No differential privacy', 'Much differential privacy')),
      'README.md has',
    ],
    ['a file that is gone', () => rm(at('README.md')), 'README.md is missing'],
    ['a file that was added', () => writeFile(at('adapter_model.bin'), 'x'), 'adapter_model.bin is signed by nobody'],
    [
      'a record that says less was spent',
      () => edit('manifest.json', (text) => text.replace('"completedRounds":2', '"completedRounds":1')),
      'not signed by the pinned coordinator key',
    ],
    ['a signature of another version', () => cp(published(1, 'manifest.sig'), at('manifest.sig')), 'not signed by'],
    ['no signature', () => rm(at('manifest.sig')), 'manifest.sig is missing'],
    ['a record that is none', () => writeFile(at('manifest.json'), '{'), 'malformed'],
    [
      'a statement of another version',
      () => cp(published(1, STATEMENT), at(STATEMENT)),
      'not the coordinator’s statement',
    ],
    [
      'a statement whose signature was changed',
      () => edit(STATEMENT, (text) => text.replace(/"sig":"(.)/, (_all, c) => `"sig":"${c === 'A' ? 'B' : 'A'}`)),
      'not the coordinator’s statement',
    ],
    ['a statement that is no JSON', () => writeFile(at(STATEMENT), 'x'), 'not the coordinator’s statement'],
  ])('finds %s', async (_what, tamper, problem) => {
    await tamper();
    const { code, error } = await verify('--key', key);
    expect(error).toContain('[adapter/not-authentic]');
    expect(error).toContain(problem);
    expect(code).toBe(21);
  });

  it('finds a genuine version in the place of another', async () => {
    await rm(copy, { recursive: true });
    await cp(join(network.folder, 'versions', versions[1]), copy, { recursive: true });
    expect((await verify('--key', key)).code).toBe(0);
    const { code, error } = await verify('--key', key, '--expect', versions[2]);
    expect(code).toBe(21);
    expect(error).toContain('not the one that was asked for');
  });

  it('believes no other coordinator', async () => {
    const { code } = await verify('--key', 'ab'.repeat(32));
    expect(code).toBe(21);
  });

  it('says everything that is wrong, and not the first only', async () => {
    await flipByte(WEIGHTS, 500);
    await rm(at('README.md'));
    const { error } = await verify('--key', key);
    expect(error).toContain(`${WEIGHTS} was changed`);
    expect(error).toContain('README.md is missing');
  });
});

describe('fedlora adapter convert', () => {
  it('writes weights of half the size, rounded, with the version that they are of', async () => {
    const target = join(folder, 'halved');
    const { code, out, error } = await run('convert', copy, '--dtype', 'bf16', '--out', target, '--key', key);
    expect(error).toBe('');
    expect(code).toBe(0);
    expect(out).toContain('Wrote');
    expect((await readdir(target)).sort()).toEqual(['README.md', 'adapter_config.json', WEIGHTS]);
    expect(await readFile(join(target, 'adapter_config.json'))).toEqual(await readFile(at('adapter_config.json')));
    const [before, after] = [await readFile(at(WEIGHTS)), await readFile(join(target, WEIGHTS))].map(readSafetensors);
    expect(Object.fromEntries(after.header.metadata)).toMatchObject({ format: 'pt', fedlora_version: versions[2] });
    for (const [name, { dtype }] of after.header.tensors) {
      expect(dtype).toBe('BF16');
      const [wanted, got] = [before, after].map((file, i) =>
        decodeFloats(file.bytesOf(name) ?? new Uint8Array(), i === 0 ? 'F32' : 'BF16'),
      );
      got.forEach((value, i) => expect(Math.abs(value - wanted[i])).toBeLessThanOrEqual(Math.abs(wanted[i]) * 2 ** -8));
    }
    const again = await run('convert', copy, '--dtype', 'f16', '--out', target, '--key', key);
    expect([again.code, again.error]).toEqual([20, expect.stringContaining('It is there already')]);
  });

  it('converts nothing that is not authentic', async () => {
    await flipByte(WEIGHTS, 500);
    const target = join(folder, 'never');
    const { code, error } = await run('convert', copy, '--dtype', 'f16', '--out', target, '--key', key);
    expect(code).toBe(21);
    expect(error).toContain('[adapter/not-authentic]');
    await expect(readdir(target)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('fedlora adapter export', () => {
  const exported = (file: string): ReturnType<typeof run> =>
    run('export', copy, '--base', folder, '--dtype', 'f16', '--out', file, '--key', key);
  beforeAll(() => writeFile(join(folder, 'config.json'), JSON.stringify(measuredBase)));

  it('writes a version as the file that llama.cpp loads, with the version that it is', async () => {
    const file = join(folder, 'support.gguf');
    expect(await exported(file)).toMatchObject({ code: 0, error: '' });
    const { metadata, tensorInfos } = await gguf(file, { allowLocalFile: true });
    expect(metadata).toMatchObject({
      'general.architecture': 'llama',
      'general.type': 'adapter',
      'general.version': versions[2],
      'adapter.type': 'lora',
      'adapter.lora.alpha': 8,
    });
    expect(tensorInfos.map(({ name }) => name)).toEqual(
      ['attn_q', 'ffn_up'].flatMap((name) => [`blk.0.${name}.weight.lora_a`, `blk.0.${name}.weight.lora_b`]),
    );
  });

  it('exports nothing that is not authentic', async () => {
    await flipByte(WEIGHTS, 500);
    const file = join(folder, 'never.gguf');
    const { code, error } = await exported(file);
    expect(code).toBe(21);
    expect(error).toContain('[adapter/not-authentic]');
    await expect(readFile(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('the in-toto statement', () => {
  it('is a DSSE envelope that other tools verify, about every file', async () => {
    const lines = (await readFile(at(STATEMENT), 'utf8')).trimEnd().split('\n');
    expect(lines).toHaveLength(1);
    const { payloadType, payload, signatures } = JSON.parse(lines[0]) as Attestation;
    const statement = Buffer.from(payload, 'base64');
    // As the DSSE specification has it, by OpenSSL: nothing of ours.
    const message = `DSSEv1 ${payloadType.length} ${payloadType} ${statement.length} ${statement.toString('utf8')}`;
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(key, 'hex')]);
    const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' });
    expect(verifySignature(null, Buffer.from(message), publicKey, Buffer.from(signatures[0].sig, 'base64'))).toBe(true);
    expect(JSON.parse(statement.toString('utf8'))).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      subject: ['README.md', 'adapter_config.json', WEIGHTS, 'manifest.json', 'manifest.sig'].map((name) => ({ name })),
      predicate: { id: versions[2], completedRounds: 2, unit: 'none' },
    });
  });
});
