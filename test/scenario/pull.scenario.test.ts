/** The sidecar of a downstream service: a folder, and a running vLLM, that follow a channel. */

import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { routes, type SigningKeyView, type VersionRecord } from '@fedlora/shared';
import { Http } from '../../client/src/connection/http.js';
import { commandLoader, vllmLoader, type Loader } from '../../client/src/pull/loaders.js';
import { currentVersion, pullOnce, type PullTarget } from '../../client/src/pull/puller.js';
import { ChannelWait } from '../../client/src/pull/channel-wait.js';
import { watch } from '../../client/src/pull/watch.js';
import { fedlora } from '../support/command-line.js';
import { serve, type TestServer } from '../support/http-server.js';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';

const REPOSITORY = 'city/support';
const MEASURED = [2, 1.6, 1.2, 1, 0.9].map((loss) => ({ loss, exact: 0.1 }));

let network: ReleaseNetwork;
/** Ids of the versions, the untrained first one at 0. */
let versions: string[];
let key: string;
let to: string;
const target = (changes: Partial<PullTarget> = {}): PullTarget => ({
  repository: REPOSITORY,
  revision: 'stable',
  to,
  coordinatorKey: key,
  keep: 2,
  ...changes,
});
const parts = () => ({ http: new Http(network.url), token: network.token });
const promote = (number: number): Promise<unknown> =>
  network.operate('PUT', routes.channel(REPOSITORY, 'stable'), { version: versions[number], override: 'for the test' });
const revoke = (number: number): Promise<unknown> =>
  network.operate('POST', routes.revocation(versions[number]), { reason: 'It told what it should not.' });

beforeAll(async () => {
  network = await ReleaseNetwork.start(MEASURED);
  await network.complete(measuredRun(REPOSITORY, MEASURED.length));
  versions = await network.versionsOf(REPOSITORY);
  ({ publicKey: key } = await network.operate<SigningKeyView>('GET', routes.signingKey));
});
afterAll(async () => network?.stop());
beforeEach(async () => {
  to = await mkdtemp(join(tmpdir(), 'fedlora-pull-'));
});
afterEach(async () => rm(to, { recursive: true, force: true }));

/** As much of vLLM as its documentation says of adapters that are loaded at run time. */
async function fakeVllm(): Promise<TestServer & { readonly loaded: Map<string, string>; isDown: boolean }> {
  const loaded = new Map<string, string>();
  const server = await serve((request, body, response) => {
    const { lora_name, lora_path, load_inplace } = JSON.parse(body.toString('utf8') || '{}') as Record<
      string,
      string | boolean
    >;
    const answer = (status: number, text: string): void => void response.writeHead(status).end(text);
    if (state.isDown) return answer(503, 'starting');
    switch (`${request.method} ${request.url}`) {
      case 'POST /v1/load_lora_adapter':
        if (loaded.has(String(lora_name)) && load_inplace !== true) return answer(400, 'already loaded');
        if (!existsSync(join(String(lora_path), 'adapter_config.json'))) return answer(404, 'no adapter');
        loaded.set(String(lora_name), String(lora_path));
        return answer(200, 'Success');
      case 'POST /v1/unload_lora_adapter':
        return loaded.delete(String(lora_name)) ? answer(200, 'Success') : answer(404, 'not loaded');
      case 'GET /v1/models':
        return answer(200, JSON.stringify({ data: ['tiny', ...loaded.keys()].map((id) => ({ id })) }));
      default:
        return answer(404, 'unknown');
    }
  });
  const state = { ...server, loaded, isDown: false };
  return state;
}

describe('pulling once', () => {
  it('brings the version of the channel, whole and checked, and nothing when it has it already', async () => {
    await promote(1);
    expect(await pullOnce(target(), parts())).toMatchObject({ kind: 'switched', id: versions[1] });
    expect(await currentVersion(to)).toBe(versions[1]);
    const stored = await readdir(join(network.folder, 'versions', versions[1]));
    expect((await readdir(join(to, 'current'))).sort()).toEqual(
      expect.arrayContaining(['adapter_config.json', 'README.md']),
    );
    for (const name of await readdir(join(to, 'current'))) {
      expect(stored).toContain(name);
      const [ours, theirs] = [join(to, 'current', name), join(network.folder, 'versions', versions[1], name)];
      expect(Buffer.compare(await readFile(ours), await readFile(theirs)), name).toBe(0);
    }
    expect(await pullOnce(target(), parts())).toMatchObject({ kind: 'unchanged', id: versions[1] });
  });

  it('brings it in 16 bits where that is asked for, checked in the same way', async () => {
    await promote(1);
    const pulled = await pullOnce(target({ revision: 'stable-bf16' }), parts());
    expect(pulled).toMatchObject({ kind: 'switched' });
    const record = JSON.parse(await readFile(join(to, 'current', 'manifest.json'), 'utf8')) as VersionRecord;
    expect(record).toMatchObject({ id: await currentVersion(to), conversion: { version: versions[1], dtype: 'bf16' } });
    expect(await pullOnce(target({ revision: 'stable-bf16' }), parts())).toMatchObject({ kind: 'unchanged' });
  });

  it('refuses what another key signed, and what was changed since it was downloaded; the version before stays', async () => {
    await promote(1);
    await pullOnce(target(), parts());
    await promote(2);
    const stranger = pullOnce(target({ coordinatorKey: 'ab'.repeat(32) }), parts());
    await expect(stranger).rejects.toMatchObject({ code: 'adapter/not-authentic' });
    expect(await currentVersion(to)).toBe(versions[1]);
    expect(await readdir(join(to, 'versions'))).toEqual([versions[1]]);

    const planted = join(to, 'versions', versions[2]);
    await cp(join(network.folder, 'versions', versions[2]), planted, { recursive: true });
    await writeFile(join(planted, 'adapter_model.safetensors'), 'planted');
    await expect(pullOnce(target(), parts())).rejects.toMatchObject({ code: 'adapter/not-authentic' });
    expect(await currentVersion(to)).toBe(versions[1]);
  });

  it('refuses names of files that lead elsewhere, from a server that lies', async () => {
    for (const name of ['../evil', '/etc/evil', '.ssh', 'a/b', 'a\\b', '']) {
      const liar = await serve((_request, _body, response) =>
        response.writeHead(200).end(JSON.stringify({ sha: 'a'.repeat(40), siblings: [{ rfilename: name }] })),
      );
      const pulled = pullOnce(target(), { http: new Http(liar.url), token: 't' });
      await expect(pulled, name).rejects.toMatchObject({ code: 'connection/bad-answer' });
      await liar.close();
    }
    expect(await readdir(to)).toEqual([]);
  });

  it('tidies what a crash left, and keeps as many old versions as it was told to', async () => {
    await mkdir(join(to, 'versions', '.half'), { recursive: true });
    await symlink('versions/nothing', join(to, 'current'));
    for (const number of [1, 2, 3, 4]) {
      await promote(number);
      await pullOnce(target({ keep: 1 }), parts());
    }
    expect((await readdir(join(to, 'versions'))).sort()).toEqual([versions[3], versions[4]].sort());
  });

  it('says by its exit code and in words when there is no such repository, channel or right', async () => {
    const run = (repository: string, token: string, ...more: string[]) =>
      fedlora(['pull', repository, '--url', network.url, '--key', key, '--to', to, ...more], {
        environment: { FEDLORA_API_TOKEN: token },
      });
    await promote(1);
    const good = await run(REPOSITORY, network.token);
    expect([good.code, good.out]).toEqual([0, `Switched to ${versions[1]}.`]);
    expect((await run(REPOSITORY, network.token)).out).toContain('as before');
    expect((await run('city/nothing', network.token)).error).toContain('repository/unknown');
    expect((await run(REPOSITORY, network.token, '--channel', 'nothing')).error).toContain('version/no-revision');
    expect((await run(REPOSITORY, 'wrong-token')).code).not.toBe(0);
    expect((await run('nonsense', network.token)).error).toContain('owner/name');
  });
});

describe('watching', () => {
  const failures: string[] = [];
  let stop: AbortController;
  let running: Promise<void> | undefined;
  const start = (loaders: readonly Loader[], changes: Partial<PullTarget> = {}): void => {
    stop = new AbortController();
    running = watch({
      pull: () => pullOnce(target(changes), { ...parts(), signal: stop.signal }),
      loaders,
      onPulled: () => undefined,
      onFailure: ({ code }) => void failures.push(code),
      changed: (_id, mostMs) => wait(mostMs),
      intervalMs: 30,
      signal: stop.signal,
    });
  };
  beforeEach(() => void failures.splice(0));
  afterEach(async () => {
    stop?.abort();
    await running;
    running = undefined;
  });

  it('switches under readers who read all the time, and no read fails or mixes two versions', async () => {
    await promote(1);
    start([], { keep: 10 });
    await expect.poll(() => currentVersion(to)).toBe(versions[1]);
    let isOver = false;
    const seen = new Set<string>();
    const reader = async (): Promise<number> => {
      for (let reads = 0; ; reads++) {
        if (isOver) return reads;
        // As a server does that opens what `current` is now.
        const folder = await realpath(join(to, 'current'));
        const record = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as { id: string };
        const weights = await readFile(join(folder, 'adapter_model.safetensors'));
        expect(record.id).toBe(basename(folder));
        expect(weights.length).toBeGreaterThan(0);
        expect(JSON.parse(await readFile(join(to, 'current', 'manifest.json'), 'utf8'))).toHaveProperty('id');
        seen.add(record.id);
      }
    };
    const readers = [reader(), reader(), reader(), reader()];
    for (const number of [2, 3, 4, 1, 2]) {
      await promote(number);
      await expect.poll(() => currentVersion(to)).toBe(versions[number]);
    }
    isOver = true;
    const reads = await Promise.all(readers);
    expect(Math.min(...reads)).toBeGreaterThan(5);
    expect([...seen].sort()).toEqual([1, 2, 3, 4].map((number) => versions[number]).sort());
    expect(failures).toEqual([]);
  });

  it('loads each version into a running vLLM under one name, from its own folder, and tries again while that is down', async () => {
    const vllm = await fakeVllm();
    await promote(1);
    vllm.isDown = true;
    start([vllmLoader(vllm.url, 'support')]);
    await expect.poll(() => failures).toContain('pull/not-loaded');
    expect(await currentVersion(to)).toBe(versions[1]);
    vllm.isDown = false;
    const path = (number: number) => join(to, 'versions', versions[number]);
    await expect.poll(() => vllm.loaded.get('support'), { timeout: 10_000 }).toBe(path(1));
    await promote(2);
    await expect.poll(() => vllm.loaded.get('support'), { timeout: 10_000 }).toBe(path(2));
    await vllm.close();
  });

  it('loads the version again into a vLLM that was restarted, and so has forgotten it', async () => {
    const vllm = await fakeVllm();
    await promote(1);
    start([vllmLoader(vllm.url, 'support')]);
    await expect.poll(() => vllm.loaded.size, { timeout: 5000 }).toBe(1);
    vllm.loaded.clear();
    await expect.poll(() => vllm.loaded.size, { timeout: 5000 }).toBe(1);
    await vllm.close();
  });

  it('hears at once of another version, and asks nothing in between', async () => {
    const asked: string[] = [];
    const heard = { ...parts(), http: new Http(network.url, ({ name }) => void asked.push(name)) };
    await promote(1);
    stop = new AbortController();
    const channel = new ChannelWait(target(), { ...heard, signal: stop.signal });
    running = watch({
      pull: () => pullOnce(target(), { ...heard, signal: stop.signal }),
      changed: (id, mostMs) => channel.changed(id, mostMs),
      loaders: [],
      onPulled: () => undefined,
      onFailure: ({ code }) => void failures.push(code),
      intervalMs: 3600_000,
      signal: stop.signal,
    });
    await expect.poll(() => currentVersion(to), { timeout: 5000 }).toBe(versions[1]);
    // Once to learn the tag, once to wait with it.
    await expect.poll(() => asked.filter((name) => name.includes('/resolve/stable/')).length).toBe(2);
    const before = asked.length;
    await wait(300);
    expect(asked).toHaveLength(before);
    await promote(2);
    await expect.poll(() => currentVersion(to), { timeout: 5000 }).toBe(versions[2]);
    expect(failures).toEqual([]);
  });

  it('waits by itself with a server that does not', async () => {
    let asked = 0;
    const hasty = await serve((request, _body, response) => {
      asked += 1;
      const isKnown = request.headers['if-none-match'] !== undefined;
      response.writeHead(isKnown ? 304 : 200, { etag: '"tag"', 'x-repo-commit': 'a'.repeat(40) }).end();
    });
    const channel = new ChannelWait(target(), { http: new Http(hasty.url), token: 't' });
    await channel.changed('a'.repeat(40), 400);
    expect(asked).toBe(2);
    await channel.changed(undefined, 20);
    await hasty.close();
    await channel.changed('a'.repeat(40), 20); // Nobody answers: the next look will say so.
    expect(asked).toBe(2);
  });

  it('goes on over an outage of the coordinator', async () => {
    await promote(1);
    let isDown = true;
    const proxied = { ...parts(), http: new Http('http://127.0.0.1:9') };
    stop = new AbortController();
    running = watch({
      pull: () => pullOnce(target(), isDown ? proxied : parts()),
      loaders: [],
      onPulled: () => undefined,
      onFailure: ({ code }) => void failures.push(code),
      changed: (_id, mostMs) => wait(mostMs),
      intervalMs: 20,
      signal: stop.signal,
    });
    await expect.poll(() => failures.length).toBeGreaterThan(1);
    isDown = false;
    await expect.poll(() => currentVersion(to), { timeout: 5000 }).toBe(versions[1]);
    expect(new Set(failures)).toEqual(new Set(['connection/unreachable']));
  });

  it('falls back with the channel when a version is revoked, and unloads the last one when there is no other', async () => {
    const vllm = await fakeVllm();
    const log = join(to, '..', `${basename(to)}.log`);
    await promote(2);
    await promote(3);
    start([
      vllmLoader(vllm.url, 'support'),
      commandLoader(`echo "$FEDLORA_EVENT $FEDLORA_VERSION" >> "${log}"`, process.env),
    ]);
    await expect.poll(() => currentVersion(to)).toBe(versions[3]);
    await revoke(3);
    // What was stable before, and is not revoked.
    await expect.poll(() => currentVersion(to), { timeout: 5000 }).not.toBe(versions[3]);
    for (const number of [1, 2, 4]) await revoke(number);
    await expect.poll(() => currentVersion(to), { timeout: 5000 }).toBeUndefined();
    await expect.poll(() => vllm.loaded.size, { timeout: 5000 }).toBe(0);
    expect(existsSync(join(to, 'current'))).toBe(false);
    await expect
      .poll(async () => (await readFile(log, 'utf8')).trim().split('\n').at(-1))
      .toMatch(/^unload [0-9a-f]{40}$/);
    await rm(log);
    await vllm.close();
  });
});
