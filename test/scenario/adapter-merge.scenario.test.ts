/** Adapters of one base model become one: `fedlora adapter merge`, and the check that it is what it says. */

import { appendFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { canonicalJson, parseCanonicalJson } from '@fedlora/protocol';
import {
  parseAdapterConfig,
  readLora,
  routes,
  versionId,
  type SigningKeyView,
  type VersionRecord,
} from '@fedlora/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { fedlora } from '../support/command-line.js';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';

const MEASURED = [{ loss: 2, exact: 0.1 }];
const WEIGHTS = 'adapter_model.safetensors';

let network: ReleaseNetwork;
let folder: string;
let key: string;
/** Folders of what two runs published. */
let support: string;
let docs: string;

const read = async (dir: string): Promise<VersionRecord> =>
  parseCanonicalJson(await readFile(join(dir, 'manifest.json'), 'utf8')) as VersionRecord;

async function merge(...more: string[]): Promise<{ target: string; code: number; out: string; error: string }> {
  const target = join(await mkdtemp(join(folder, 'merge-')), 'merged');
  const result = await fedlora(['adapter', 'merge', '--out', target, '--key', key, ...more]);
  return { target, ...result };
}

const verify = (dir: string, ...more: string[]) => fedlora(['adapter', 'verify', dir, '--key', key, ...more]);

beforeAll(async () => {
  network = await ReleaseNetwork.start(MEASURED);
  await network.complete(measuredRun('city/support', 1));
  await network.complete({ ...measuredRun('city/docs', 1), title: 'Docs adapter' });
  const newest = async (name: string) => join(network.folder, 'versions', (await network.versionsOf(name))[1]);
  [support, docs] = [await newest('city/support'), await newest('city/docs')];
  key = (await network.operate<SigningKeyView>('GET', routes.signingKey)).publicKey;
  folder = await mkdtemp(join(tmpdir(), 'fedlora-merge-'));
});
afterAll(async () => {
  await network?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('fedlora adapter merge', () => {
  it('writes a PEFT folder that says from what, and what that promises', async () => {
    const { target, code, out, error } = await merge(support, docs, '--weights', '0.7,0.3', '--method', 'cat');
    expect([error, code]).toEqual(['', 0]);
    expect((await readdir(target)).sort()).toEqual(['README.md', 'adapter_config.json', WEIGHTS, 'manifest.json']);
    const record = await read(target);
    const [first, second] = [await read(support), await read(docs)];
    expect(record).toMatchObject({
      merge: {
        method: 'cat',
        rank: 8,
        parents: [
          { version: first.id, weight: 0.7 },
          { version: second.id, weight: 0.3 },
        ],
        releases: [{ runId: first.runId }, { runId: second.runId }],
      },
      base: first.base,
      unit: 'none',
      epsilon: null,
    });
    expect(out).toContain(`version ${record.id}, of rank 8, signed by nobody`);
    expect(out).toContain('none: to a parent no noise was added');
    const config = parseAdapterConfig(await readFile(join(target, 'adapter_config.json'), 'utf8'));
    expect(config).toMatchObject({ r: 8, lora_alpha: 8, base_model_name_or_path: 'tiny' });
    expect(readLora(config, await readFile(join(target, WEIGHTS))).modules).toHaveLength(2);
    const card = await readFile(join(target, 'README.md'), 'utf8');
    expect(card).toContain(`| \`${second.id}\` | 0.3 |`);
    expect(card).toContain('**No differential privacy.**');
  });

  it.each([
    ['linear', 4],
    ['svd', 4],
    ['svd', 6],
  ])('merges by %s to rank %i', async (method, rank) => {
    const { target, code } = await merge(
      ...[support, docs, '--weights', '1,-0.5', '--method', method],
      ...(rank === 4 ? [] : ['--rank', String(rank)]),
    );
    expect(code).toBe(0);
    expect((await read(target)).merge).toMatchObject({ method, rank });
    expect((await verify(target, '--parents', docs, support)).code).toBe(0);
  });

  it.each<[string, string[], string]>([
    ['as many weights as folders', ['--weights', '1', '--method', 'cat'], '2 folders and 1 weights'],
    ['weights other than 0', ['--weights', '1,0', '--method', 'cat'], 'other than 0'],
    ['a rank with svd only', ['--weights', '1,1', '--method', 'cat', '--rank', '3'], 'only svd takes one'],
    ['a rank of at most the sum', ['--weights', '1,1', '--method', 'svd', '--rank', '9'], 'from 1 to 8'],
  ])('needs %s', async (_what, more, why) => {
    const { target, code, error } = await merge(support, docs, ...more);
    expect(code).not.toBe(0);
    expect(error).toContain(why);
    await expect(readdir(target)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('takes no version twice, and nothing that was tampered with', async () => {
    const twice = await merge(support, support, '--weights', '1,1', '--method', 'cat');
    expect([twice.code, twice.error]).toEqual([21, expect.stringContaining('named twice')]);
    const copy = join(await mkdtemp(join(folder, 'copy-')), 'version');
    await cp(docs, copy, { recursive: true });
    await appendFile(join(copy, WEIGHTS), 'x');
    const tampered = await merge(support, copy, '--weights', '1,1', '--method', 'cat');
    expect([tampered.code, tampered.error]).toEqual([21, expect.stringContaining('[adapter/not-authentic]')]);
  });

  it('overwrites nothing', async () => {
    const { target } = await merge(support, docs, '--weights', '1,1', '--method', 'cat');
    const again = await merge(support, docs, '--weights', '1,1', '--method', 'linear', '--out', target);
    expect([again.code, again.error]).toEqual([20, expect.stringContaining('It is there already')]);
    expect((await read(target)).merge?.method).toBe('cat');
  });
});

describe('fedlora adapter verify, of a merge that nobody signed', () => {
  let target: string;
  beforeEach(async () => {
    ({ target } = await merge(support, docs, '--weights', '0.7,0.3', '--method', 'cat'));
  });

  it('asks for its parents, merges them again and says whose signature they have', async () => {
    const alone = await verify(target);
    expect([alone.code, alone.error]).toEqual([21, expect.stringContaining('--parents')]);
    const { code, out } = await verify(target, '--parents', support, docs);
    expect(code).toBe(0);
    expect(out).toContain('is what its parents give, which their coordinator signed');
    expect(out).toContain('Signed by   nobody; its parents by');
    const shown = JSON.parse((await verify(target, '--parents', support, docs, '--json')).out) as object;
    expect(shown).toMatchObject({ signedBy: null, isMadeAgain: true, merge: { method: 'cat' } });
  });

  /** Changes the record and gives it the id that is then due to it, as whoever forges a merge would. */
  async function forge(change: (record: VersionRecord) => object): Promise<void> {
    const record = await read(target);
    const { merge: lineage, ...rest } = { ...record, ...change(record) };
    const forged = lineage === undefined ? rest : { ...rest, merge: lineage };
    await writeFile(join(target, 'manifest.json'), canonicalJson({ ...forged, id: versionId(forged) }));
  }

  it.each<[string, () => Promise<unknown>, string]>([
    ['weights that were changed', () => appendFile(join(target, WEIGHTS), 'x'), `${WEIGHTS} has`],
    [
      'a file that was added',
      () => writeFile(join(target, 'adapter_model.bin'), 'x'),
      'adapter_model.bin is signed by nobody',
    ],
    [
      'another promise than its parents’',
      () => forge(() => ({ unit: 'record', epsilon: 0.1, delta: 1e-6 })),
      'promises another privacy',
    ],
    [
      'other weights in the record than those that were merged with',
      () =>
        forge(({ merge: lineage }) => ({
          merge: { ...lineage, parents: lineage?.parents.map((parent) => ({ ...parent, weight: 1 })) },
        })),
      'not what its parents give',
    ],
    [
      'a parent that it never had',
      () =>
        forge(({ merge: lineage }) => ({ merge: { ...lineage, parents: [{ version: 'a'.repeat(40), weight: 1 }] } })),
      'is not among those that were given',
    ],
    ['a record without what it was merged from', () => forge(() => ({ merge: undefined })), 'not merged from others'],
    ['a record that is none', () => writeFile(join(target, 'manifest.json'), '{'), 'malformed'],
  ])('finds %s', async (_what, tamper, problem) => {
    await tamper();
    const { code, error } = await verify(target, '--parents', support, docs);
    expect(error).toContain('[adapter/not-authentic]');
    expect(error).toContain(problem);
    expect(code).toBe(21);
  });

  it('finds a parent missing, and another version than was asked for', async () => {
    const missing = await verify(target, '--parents', support);
    expect(missing.error).toContain('is not among those that were given');
    const other = await verify(target, '--parents', support, docs, '--expect', 'a'.repeat(40));
    expect(other.error).toContain('not the one that was asked for');
    const trained = await verify(support, '--parents', docs);
    expect(trained.error).toContain('It was not merged from others');
  });
});

describe('fedlora adapter merge-into-base', () => {
  it('takes the base model that the adapter was trained on, and no other', async () => {
    const base = await mkdtemp(join(folder, 'base-'));
    await cp(resolve(import.meta.dirname, '../fixtures/merge/base'), base, { recursive: true });
    await writeFile(join(base, 'tokenizer.json'), '{}');
    const target = join(folder, 'plain');
    const { code, error } = await fedlora([
      ...['adapter', 'merge-into-base', support, '--base', base, '--out', target, '--key', key],
    ]);
    expect(code).toBe(21);
    expect(error).toContain(`the adapter was trained on ${'b'.repeat(64)} (tiny)`);
    await expect(readdir(target)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
