/** Downstream services pull adapters with the Hub's own client: `@huggingface/hub` against a coordinator. */

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  checkRepoAccess,
  downloadFile,
  fileDownloadInfo,
  fileExists,
  listFiles,
  listModels,
  modelInfo,
  pathsInfo,
  snapshotDownload,
  whoAmI,
  type ListFileEntry,
} from '@huggingface/hub';
import {
  decodeFloats,
  readSafetensors,
  routes,
  type NewApiToken,
  type ReleaseView,
  type RepositoryView,
  type SigningKeyView,
  type VersionRecord,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { verifyAdapter } from '../../client/src/storage/verify-adapter.js';
import { ConvertedVersions } from '../../coordinator/src/adapters/converted-versions.js';
import { VersionStore } from '../../coordinator/src/adapters/version-store.js';
import { FolderBlobs } from '../../coordinator/src/storage/folder-blobs.js';
import { openCoordinatorKey } from '../../coordinator/src/storage/keys.js';
import { fedlora } from '../support/command-line.js';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';
import { send } from '../support/requests.js';

const REPOSITORY = 'city/support';
const MEASURED = [
  { loss: 2, exact: 0.1 },
  { loss: 1, exact: 0.5 },
  { loss: 0.9, exact: 0.6 },
];
const WEIGHTS = 'adapter_model.safetensors';

let network: ReleaseNetwork;
/** Ids of the versions, the untrained first one at 0. */
let versions: string[];
let folder: string;

/** What every call of the client needs. */
const hub = () => ({ hubUrl: network.url, accessToken: `hf_${network.token}`, repo: REPOSITORY });
const stored = (version: string, name: string): Promise<Buffer> =>
  readFile(join(network.folder, 'versions', version, name));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const promote = (number: number, channel: string): Promise<unknown> =>
  network.operate('PUT', routes.channel(REPOSITORY, channel), {
    version: versions[number],
    override: 'for the test',
  });

beforeAll(async () => {
  // The client tells on the console what it does.
  vi.spyOn(console, 'debug').mockImplementation(() => undefined);
  network = await ReleaseNetwork.start(MEASURED);
  await network.complete(measuredRun(REPOSITORY, MEASURED.length));
  versions = await network.versionsOf(REPOSITORY);
  folder = await mkdtemp(join(tmpdir(), 'fedlora-hub-'));
});
afterAll(async () => {
  await network?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the Hub’s client', () => {
  it('has the newest trained version as main while nothing is stable, and the stable one afterwards', async () => {
    const { name, repo: _, ...rest } = { ...hub(), name: REPOSITORY };
    const sha = async (revision?: string): Promise<string> =>
      (await modelInfo({ ...rest, name, additionalFields: ['sha'], ...(revision === undefined ? {} : { revision }) }))
        .sha;
    expect(await sha()).toBe(versions[3]);
    await promote(1, 'stable');
    await promote(2, 'beta');
    await network.operate('PUT', routes.tag(REPOSITORY, 'v2'), { version: versions[2] });
    expect(await sha()).toBe(versions[1]);
    expect(await sha('main')).toBe(versions[1]);
    expect(await sha('candidate')).toBe(versions[3]);
    expect(await sha('beta')).toBe(versions[2]);
    expect(await sha('v2')).toBe(versions[2]);
    expect(await sha('refs/tags/v2')).toBe(versions[2]);
    expect(await sha(versions[0])).toBe(versions[0]);
  });

  it('reads what a repository is', async () => {
    const { accessToken, hubUrl } = hub();
    const info = await modelInfo({
      hubUrl,
      accessToken,
      name: REPOSITORY,
      additionalFields: ['author', 'library_name', 'tags', 'filePaths'],
    });
    expect(info).toMatchObject({ name: REPOSITORY, private: true, gated: false, author: 'city', library_name: 'peft' });
    expect(info.tags).toContain('base_model:adapter:tiny');
    expect(info.filePaths).toContain('adapter_config.json');
    await checkRepoAccess(hub());
    expect(await whoAmI({ hubUrl, accessToken })).toMatchObject({ name: 'everything' });
  });

  it('lists the files with the hashes of their content', async () => {
    const files: ListFileEntry[] = [];
    for await (const file of listFiles({ ...hub(), revision: versions[2], recursive: true, expand: true }))
      files.push(file);
    expect(files.map(({ path }) => path)).toEqual([
      'README.md',
      'adapter_config.json',
      WEIGHTS,
      'attestation.intoto.jsonl',
      'manifest.json',
      'manifest.sig',
    ]);
    for (const { path, size, oid, lfs, lastCommit } of files) {
      const bytes = await stored(versions[2], path);
      expect(size).toBe(bytes.length);
      expect(lastCommit).toMatchObject({ id: versions[2], title: 'Support adapter, round 2' });
      if (path === WEIGHTS) expect(lfs).toMatchObject({ oid: sha256(bytes), size: bytes.length });
      else expect(oid).toBe(createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex'));
    }
  });

  it('lists them in pages', async () => {
    const pages: string[] = [];
    const fetching: typeof fetch = (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      url.searchParams.set('limit', '2');
      pages.push(url.href);
      return fetch(url, init);
    };
    const files: string[] = [];
    for await (const { path } of listFiles({ ...hub(), fetch: fetching })) files.push(path);
    expect(files).toHaveLength(6);
    expect(new Set(files).size).toBe(6);
    expect(pages).toHaveLength(3);
  });

  it('pulls a snapshot whose files are the version’s, and counts as one download', async () => {
    const before = await network.operate<ReleaseView>('GET', routes.release(versions[2]));
    const snapshot = await snapshotDownload({ ...hub(), revision: 'beta', cacheDir: folder });
    expect(snapshot.endsWith(versions[2])).toBe(true);
    const record = JSON.parse(await readFile(join(snapshot, 'manifest.json'), 'utf8')) as VersionRecord;
    expect(record.id).toBe(versions[2]);
    for (const name of await readdir(snapshot))
      expect(await readFile(join(snapshot, name)), name).toEqual(await stored(versions[2], name));
    for (const { name, sha256: wanted } of record.files)
      expect(sha256(await readFile(join(snapshot, name))), name).toBe(wanted);
    const after = await network.operate<ReleaseView>('GET', routes.release(versions[2]));
    expect(after.downloads).toBe(before.downloads + 1);
    const { downloads } = await network.operate<RepositoryView>('GET', routes.repository(REPOSITORY));
    expect(downloads).toBe(after.downloads);
  });

  it('reads a part of a file', async () => {
    const blob = await downloadFile({ ...hub(), path: WEIGHTS, revision: versions[3] });
    const bytes = await stored(versions[3], WEIGHTS);
    expect(blob?.size).toBe(bytes.length);
    expect(Buffer.from((await blob?.slice(8, 40).arrayBuffer()) ?? new ArrayBuffer(0))).toEqual(bytes.subarray(8, 40));
    const info = await fileDownloadInfo({ ...hub(), path: WEIGHTS, revision: versions[3] });
    expect(info).toMatchObject({ size: bytes.length, etag: `"${sha256(bytes)}"` });
  });

  it('finds out what is not there', async () => {
    expect(await fileExists({ ...hub(), path: 'adapter_config.json' })).toBe(true);
    expect(await fileExists({ ...hub(), path: 'config.json' })).toBe(false);
    expect(await fileExists({ ...hub(), path: 'folder/config.json' })).toBe(false);
    expect(await downloadFile({ ...hub(), path: 'tokenizer.json' })).toBeNull();
    expect(await pathsInfo({ ...hub(), paths: ['README.md', 'missing'] })).toMatchObject([{ path: 'README.md' }]);
  });

  it.each([
    ['a repository that there is not', () => ({ ...hub(), repo: 'city/nowhere' }), 404],
    ['no token', () => ({ repo: REPOSITORY, hubUrl: network.url }), 401],
    ['a token of nobody', () => ({ ...hub(), accessToken: 'hf_fedlora_of-nobody-at-all' }), 401],
  ])('is refused with %s', async (_what, params, statusCode) => {
    await expect(checkRepoAccess(params())).rejects.toMatchObject({ statusCode });
  });
});

describe('listing', () => {
  type Listing = Pick<NonNullable<Parameters<typeof listModels>[0]>, 'search' | 'limit' | 'fetch'>;
  const listed = async (params: Listing = {}, token = hub().accessToken): Promise<string[]> => {
    const names: string[] = [];
    for await (const { name } of listModels({ hubUrl: network.url, accessToken: token, ...params })) names.push(name);
    return names;
  };
  beforeAll(async () => {
    for (const repository of ['city/tools', 'state/support']) await network.complete(measuredRun(repository, 1));
  });

  it('has the repositories by name, each at its main version', async () => {
    expect(await listed()).toEqual([REPOSITORY, 'city/tools', 'state/support']);
    for await (const model of listModels({
      hubUrl: network.url,
      accessToken: hub().accessToken,
      additionalFields: ['sha', 'tags', 'author'],
    })) {
      expect(model).toMatchObject({ private: true, gated: false, author: model.name.split('/')[0] });
      const { sha } = await modelInfo({ ...hub(), name: model.name, additionalFields: ['sha'] });
      expect(model.sha).toBe(sha);
      expect(model.tags).toContain('base_model:adapter:tiny');
    }
  });

  it('finds by owner, part of the name, and tag', async () => {
    expect(await listed({ search: { owner: 'city' } })).toEqual([REPOSITORY, 'city/tools']);
    expect(await listed({ search: { owner: 'cit' } })).toEqual([]);
    expect(await listed({ search: { query: 'SUPP' } })).toEqual([REPOSITORY, 'state/support']);
    expect(await listed({ search: { query: 'supp', owner: 'state' } })).toEqual(['state/support']);
    expect(await listed({ search: { tags: ['peft', 'base_model:adapter:tiny'] } })).toHaveLength(3);
    expect(await listed({ search: { tags: ['peft', 'base_model:adapter:large'] } })).toEqual([]);
  });

  it('comes in pages, which the client follows', async () => {
    const pages: string[] = [];
    const fetching: typeof fetch = (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      url.searchParams.set('limit', '2');
      pages.push(url.href);
      return fetch(url, init);
    };
    expect(await listed({ fetch: fetching })).toEqual([REPOSITORY, 'city/tools', 'state/support']);
    expect(pages).toHaveLength(2);
    expect(await listed({ limit: 1 })).toEqual([REPOSITORY]);
  });

  it('is sorted by what the Hub sorts by, across pages: most and newest first, unless a direction says otherwise', async () => {
    const names = async (query: string): Promise<string[]> => {
      const seen: string[] = [];
      let next: string | undefined = `/api/models?limit=1&${query}`;
      while (next !== undefined) {
        const answer: Response = await send(network.url, 'GET', next, network.token);
        for (const { id } of (await answer.json()) as { id: string }[]) seen.push(id);
        const url = /<(.+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
        next = url?.slice(network.url.length);
      }
      return seen;
    };
    for (const repository of [REPOSITORY, REPOSITORY, 'state/support']) {
      const weights = await send(network.url, 'GET', `/${repository}/resolve/main/${WEIGHTS}`, network.token);
      expect((await weights.arrayBuffer()).byteLength).toBeGreaterThan(0);
    }
    const byDownloads = [REPOSITORY, 'state/support', 'city/tools'];
    expect(await names('sort=downloads')).toEqual(byDownloads);
    expect(await names('sort=downloads&direction=1')).toEqual(byDownloads.toReversed());
    const byAge = [REPOSITORY, 'city/tools', 'state/support'];
    for (const sort of ['createdAt', 'lastModified']) {
      expect(await names(`sort=${sort}`), sort).toEqual(byAge.toReversed());
      expect(await names(`sort=${sort}&direction=1`), sort).toEqual(byAge);
    }
    expect(await names('sort=id')).toEqual(await listed());
    expect(await names('sort=id&direction=-1')).toEqual((await listed()).toReversed());
  });

  it.each([
    ['sort=trendingScore', 'sort must be one of id, downloads, lastModified, createdAt.'],
    ['sort=downloads&direction=down', 'direction must be 1 or -1.'],
  ])('refuses to sort by what there is not: %s', async (query, message) => {
    const answer = await send(network.url, 'GET', `/api/models?${query}`, network.token);
    expect([answer.status, answer.headers.get('x-error-message')]).toEqual([400, message]);
    expect(await answer.json()).toMatchObject({ code: 'request/invalid' });
  });

  it('shows a token the repositories of its runs only, and a stranger none', async () => {
    const { runs } = await network.operate<RepositoryView>('GET', routes.repository('city/tools'));
    const { token } = await network.operate<NewApiToken>('POST', routes.tokens, {
      name: 'tools',
      permissions: ['versions.read'],
      runs,
    });
    expect(await listed({}, `hf_${token}`)).toEqual(['city/tools']);
    await expect(listed({}, 'hf_fedlora_of-nobody-at-all')).rejects.toMatchObject({ statusCode: 401 });
    const stranger = await send(network.url, 'GET', '/api/models');
    expect([stranger.status, stranger.headers.get('x-error-message')]).toEqual([401, 'Invalid username or password.']);
  });
});

describe('weights in another number format', () => {
  const sha = async (revision: string): Promise<string> =>
    (await modelInfo({ ...hub(), name: REPOSITORY, additionalFields: ['sha'], revision })).sha;

  it.each([
    ['bf16', 'BF16', 2 ** -8],
    ['f16', 'F16', 2 ** -11],
  ] as const)('come under a revision of their own, -%s, in half the bytes', async (dtype, format, rounding) => {
    const snapshot = await snapshotDownload({ ...hub(), revision: `beta-${dtype}`, cacheDir: folder });
    const [before, after] = [await stored(versions[2], WEIGHTS), await readFile(join(snapshot, WEIGHTS))];
    const [exact, rounded] = [readSafetensors(before), readSafetensors(after)];
    expect(Object.fromEntries(rounded.header.metadata)).toMatchObject({ format: 'pt', fedlora_version: versions[2] });
    expect([...rounded.header.tensors.keys()]).toEqual([...exact.header.tensors.keys()]);
    for (const [name, entry] of rounded.header.tensors) {
      expect(entry.dtype).toBe(format);
      const [wanted, got] = [exact.bytesOf(name), rounded.bytesOf(name)];
      const values = decodeFloats(wanted ?? new Uint8Array(), 'F32');
      decodeFloats(got ?? new Uint8Array(), format).forEach((value, i) =>
        expect(Math.abs(value - values[i])).toBeLessThanOrEqual(Math.abs(values[i]) * rounding + 2 ** -25),
      );
    }
    expect(await readFile(join(snapshot, 'adapter_config.json'))).toEqual(
      await stored(versions[2], 'adapter_config.json'),
    );
    expect(await readFile(join(snapshot, 'README.md'), 'utf8')).toContain(`weights rounded to ${dtype}`);
  });

  it('are a version by themselves: signed, listed with their own hashes, and checked offline like any other', async () => {
    const { publicKey } = await network.operate<SigningKeyView>('GET', routes.signingKey);
    const commit = await sha('beta-bf16');
    const snapshot = await snapshotDownload({ ...hub(), revision: commit, cacheDir: folder });
    const { record, isAttested } = await verifyAdapter(snapshot, publicKey, commit);
    expect(isAttested).toBe(true);
    expect(record).toMatchObject({
      id: commit,
      conversion: { version: versions[2], dtype: 'bf16' },
      completedRounds: 2,
    });
    const { out } = await fedlora(['adapter', 'verify', snapshot, '--key', publicKey, '--expect', commit]);
    expect(out).toContain(`Weights     bf16, of ${versions[2]}`);
    for await (const { path, lfs } of listFiles({ ...hub(), revision: commit, expand: true }))
      if (path === WEIGHTS) expect(lfs?.oid).toBe(sha256(await readFile(join(snapshot, WEIGHTS))));
  });

  it('are the same commit whoever asks, by channel, tag or version, however many at once', async () => {
    const all = await Promise.all(['beta-f16', 'v2-f16', `${versions[2]}-f16`, 'beta-f16'].map(sha));
    expect(new Set(all).size).toBe(1);
    expect(await sha(all[0])).toBe(all[0]);
    expect(all[0]).not.toBe(await sha('beta-bf16'));
    // After a restart, which has forgotten that it made it.
    const key = await openCoordinatorKey(join(network.folder, 'coordinator.key'));
    const again = new ConvertedVersions(new VersionStore(new FolderBlobs(join(network.folder, 'versions')), key));
    expect(await again.of(versions[2], 'f16')).toBe(all[0]);
  });

  it('count as downloads of the version', async () => {
    const before = await network.operate<ReleaseView>('GET', routes.release(versions[2]));
    await (await downloadFile({ ...hub(), path: WEIGHTS, revision: 'beta-bf16' }))?.arrayBuffer();
    const after = await network.operate<ReleaseView>('GET', routes.release(versions[2]));
    expect(after.downloads).toBe(before.downloads + 1);
  });

  it('never take the place of a tag that is called alike, and there are none in formats that nobody knows', async () => {
    await network.operate('PUT', routes.tag(REPOSITORY, 'beta-f16'), { version: versions[3] });
    expect(await sha('beta-f16')).toBe(versions[3]);
    await network.operate('DELETE', routes.tag(REPOSITORY, 'beta-f16'));
    for (const revision of ['beta-q8', 'nothing-f16', '-f16', `${'0'.repeat(40)}-f16`])
      await expect(sha(revision), revision).rejects.toMatchObject({ statusCode: 404 });
  });
});

describe('the Hub’s face', () => {
  const ask = (
    path: string,
    headers: Readonly<Record<string, string>> = {},
    token: string | undefined = network.token,
    method = 'GET',
  ) => send(network.url, method, path, token, undefined, headers);
  const file = (revision: string, name = WEIGHTS): string => `/${REPOSITORY}/resolve/${revision}/${name}`;

  it('tells commit, hash and size with HEAD, without a body and without counting a download', async () => {
    const bytes = await stored(versions[3], WEIGHTS);
    const before = await network.operate<ReleaseView>('GET', routes.release(versions[3]));
    const stranger = await send(network.url, 'HEAD', file('candidate'));
    expect(stranger.status).toBe(401);
    const known = await ask(file('candidate'), {}, network.token, 'HEAD');
    expect(known.status).toBe(200);
    expect(await known.text()).toBe('');
    expect(Object.fromEntries(known.headers)).toMatchObject({
      'x-repo-commit': versions[3],
      'x-linked-size': String(bytes.length),
      'x-linked-etag': `"${sha256(bytes)}"`,
      etag: `"${sha256(bytes)}"`,
      'content-length': String(bytes.length),
      'accept-ranges': 'bytes',
    });
    const after = await network.operate<ReleaseView>('GET', routes.release(versions[3]));
    expect(after.downloads).toBe(before.downloads);
  });

  it('sends nothing again to who has it, which is no download', async () => {
    const { headers } = await ask(file('candidate'));
    const before = await network.operate<ReleaseView>('GET', routes.release(versions[3]));
    const again = await ask(file('candidate'), { 'if-none-match': headers.get('etag') ?? '' });
    expect(again.status).toBe(304);
    expect(again.headers.get('x-repo-commit')).toBe(versions[3]);
    const after = await network.operate<ReleaseView>('GET', routes.release(versions[3]));
    expect(after.downloads).toBe(before.downloads);
  });

  it('sends ranges, and refuses one past the end', async () => {
    const bytes = await stored(versions[3], WEIGHTS);
    const part = await ask(file('candidate'), { range: `bytes=${bytes.length - 5}-` });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe(`bytes ${bytes.length - 5}-${bytes.length - 1}/${bytes.length}`);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(-5));
    const beyond = await ask(file('candidate'), { range: `bytes=${bytes.length}-` });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${bytes.length}`]);
    const middle = await ask(file('candidate'), { range: 'bytes=3-9', 'if-range': part.headers.get('etag') ?? '' });
    expect(Buffer.from(await middle.arrayBuffer())).toEqual(bytes.subarray(3, 10));
    const asked: readonly Readonly<Record<string, string>>[] = [
      { range: 'bytes=3-9', 'if-range': '"another"' },
      { range: 'bytes=3-9,20-29' },
      { range: 'words=1-2' },
      { range: 'bytes=x' },
    ];
    for (const headers of asked) {
      const whole = await ask(file('candidate'), headers);
      expect(whole.status, headers.range).toBe(200);
      expect(Buffer.from(await whole.arrayBuffer())).toEqual(bytes);
    }
  });

  it('has the text that stands for weights in git', async () => {
    const pointer = await (await ask(`/${REPOSITORY}/raw/candidate/${WEIGHTS}`)).text();
    const bytes = await stored(versions[3], WEIGHTS);
    expect(pointer).toBe(
      `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(bytes)}\nsize ${bytes.length}\n`,
    );
  });

  it('lists channels as branches, and tags', async () => {
    const refs = (await (await ask(`/api/models/${REPOSITORY}/refs`)).json()) as { branches: object[]; tags: object[] };
    expect(refs.tags).toEqual([{ name: 'v2', ref: 'refs/tags/v2', targetCommit: versions[2] }]);
    expect(refs.branches).toEqual([
      { name: 'main', ref: 'refs/heads/main', targetCommit: versions[1] },
      { name: 'candidate', ref: 'refs/heads/candidate', targetCommit: versions[3] },
      { name: 'beta', ref: 'refs/heads/beta', targetCommit: versions[2] },
      { name: 'stable', ref: 'refs/heads/stable', targetCommit: versions[1] },
    ]);
  });

  it.each<[string, string, number, string | null]>([
    ['a repository', '/api/models/city/nowhere', 404, 'RepoNotFound'],
    ['a repository’s file', `/city/nowhere/resolve/main/${WEIGHTS}`, 404, 'RepoNotFound'],
    ['a revision', `/api/models/${REPOSITORY}/revision/nothing`, 404, 'RevisionNotFound'],
    ['a version', `/api/models/${REPOSITORY}/revision/${'0'.repeat(40)}`, 404, 'RevisionNotFound'],
    ['a revision’s file', `/${REPOSITORY}/resolve/nothing/${WEIGHTS}`, 404, 'RevisionNotFound'],
    ['a file', `/${REPOSITORY}/resolve/main/config.json`, 404, 'EntryNotFound'],
    ['a file of a name without an ending', `/${REPOSITORY}/resolve/main/LICENSE`, 404, 'EntryNotFound'],
    ['a folder', `/api/models/${REPOSITORY}/tree/main/folder`, 404, 'EntryNotFound'],
    ['a file outside', `/${REPOSITORY}/resolve/main/..%2f..%2fcoordinator.key`, 404, 'EntryNotFound'],
    ['a file of the store', `/${REPOSITORY}/resolve/main/%2e%2e/%2e%2e/coordinator.key`, 404, null],
  ])('says which is missing: %s', async (_what, path, status, code) => {
    const answer = await ask(path);
    expect(answer.status).toBe(status);
    if (code !== null) expect(answer.headers.get('x-error-code')).toBe(code);
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
  });

  it('tells a missing token from a wrong one as the Hub does', async () => {
    const none = await send(network.url, 'GET', `/api/models/${REPOSITORY}`);
    expect(none.status).toBe(401);
    expect(none.headers.get('x-error-message')).toBe('Invalid username or password.');
    expect(none.headers.get('x-error-code')).toBe('RepoNotFound');
    const wrong = await ask(`/api/models/${REPOSITORY}`, {}, 'fedlora_of-nobody-at-all');
    expect(wrong.status).toBe(401);
    expect(wrong.headers.get('x-error-message')).toBe('Invalid credentials in Authorization header');
  });

  it('has nothing for a token of other runs, and refuses one that may not read versions', async () => {
    const token = async (more: object): Promise<string> =>
      (
        await network.operate<NewApiToken>('POST', routes.tokens, {
          name: 'x',
          permissions: ['versions.read'],
          ...more,
        })
      ).token;
    const other = await ask(`/api/models/${REPOSITORY}`, {}, await token({ runs: ['run-other'] }));
    expect([other.status, other.headers.get('x-error-code')]).toEqual([404, 'RepoNotFound']);
    const blind = await ask(`/api/models/${REPOSITORY}`, {}, await token({ permissions: ['runs.read'] }));
    expect(blind.status).toBe(403);
  });

  it('says that a version was revoked, and why; main never falls back to what nobody released', async () => {
    await network.operate('POST', routes.revocation(versions[1]), { reason: 'A record was in it.' });
    const gone = await ask(file(versions[1]));
    expect(gone.status).toBe(410);
    expect(gone.headers.get('x-error-message')).toContain('A record was in it.');
    // Without a code that it knows, the Python client goes on with what is in its cache.
    expect(gone.headers.get('x-error-code')).toBe('RevisionNotFound');
    const main = await ask(file('main'));
    expect([main.status, main.headers.get('x-error-code')]).toEqual([404, 'RevisionNotFound']);
    const listed = (await (await ask('/api/models?author=city')).json()) as { id: string }[];
    expect(listed.map(({ id }) => id)).toEqual(['city/tools']);
    expect((await ask(file('beta'))).status).toBe(200);
  });

  it('gives no weights of a revoked version in any format, under any name', async () => {
    const commit = (await ask(file('beta-f16'))).headers.get('x-repo-commit') ?? '';
    expect((await ask(file(commit))).status).toBe(200);
    await network.operate('POST', routes.revocation(versions[2]), { reason: 'A record was in it.' });
    for (const revision of [commit, 'v2-f16', `${versions[2]}-bf16`])
      expect((await ask(file(revision))).status, revision).toBe(410);
  });
});
