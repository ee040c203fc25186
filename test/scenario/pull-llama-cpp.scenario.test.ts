/** The sidecar beside a llama.cpp server, which loads adapters only when it starts. */

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gguf } from '@huggingface/gguf';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { routes, type FedloraError, type SigningKeyView } from '@fedlora/shared';
import { Http } from '../../client/src/connection/http.js';
import { llamaCppLoader, type LlamaCpp } from '../../client/src/pull/llama-cpp.js';
import { pullOnce } from '../../client/src/pull/puller.js';
import { tell, watch } from '../../client/src/pull/watch.js';
import { fedlora } from '../support/command-line.js';
import { serve, type TestServer } from '../support/http-server.js';
import { measuredBase, measuredRun, ReleaseNetwork } from '../support/release-network.js';

const REPOSITORY = 'city/support';
const MEASURED = [2, 1.6, 1.2, 1].map((loss) => ({ loss, exact: 0.1 }));
/** An adapter of somebody else that the server has, too. */
const STRANGER = { path: '/models/other-adapter.gguf', scale: 0.5 };

let network: ReleaseNetwork;
let versions: string[];
let key: string;
let to: string;
let base: string;
let server: FakeLlamaCpp;

const promote = (number: number): Promise<unknown> =>
  network.operate('PUT', routes.channel(REPOSITORY, 'stable'), { version: versions[number], override: 'for the test' });
const revoke = (number: number): Promise<unknown> =>
  network.operate('POST', routes.revocation(versions[number]), { reason: 'It told what it should not.' });
const pull = () =>
  pullOnce(
    { repository: REPOSITORY, revision: 'stable', to, coordinatorKey: key, keep: 1 },
    { http: new Http(network.url), token: network.token },
  );
const loader = (changes: Partial<LlamaCpp> = {}) =>
  llamaCppLoader({ url: server.url, name: 'support', to, base, ...changes });
const file = (number: number): string => join(to, 'gguf', `support-${versions[number]}.gguf`);
/** As a unit of systemd would do it: the server starts with what the sidecar names. */
const restart = (): NonNullable<LlamaCpp['restart']> => ({
  command: `printf %s "$FEDLORA_GGUF" > "${server.startFile}"`,
  environment: process.env,
});

interface FakeLlamaCpp extends TestServer {
  /** Loaded files with their scales. */
  readonly adapters: { path: string; scale: number }[];
  /** Whoever writes a path into it restarts the server with that adapter, beside the stranger's. */
  readonly startFile: string;
  starts: number;
  apiKey: string | undefined;
}

/** As much of llama.cpp's server as its README says of adapters: they come when it starts, and only their scales change. */
async function fakeLlamaCpp(startFile: string): Promise<FakeLlamaCpp> {
  let isLoading = 0;
  const state = { adapters: [{ ...STRANGER }], starts: 0, apiKey: undefined as string | undefined };
  const http = await serve(
    (request, body, response) => void answer(request.method, request.url, body, request, response),
  );
  const answer = async (
    ...[method, url, body, { headers }, response]: [
      string | undefined,
      string | undefined,
      Buffer,
      { headers: { authorization?: string } },
      { writeHead(status: number): { end(text: string): void } },
    ]
  ): Promise<void> => {
    const say = (status: number, value: unknown): void => response.writeHead(status).end(JSON.stringify(value));
    if (existsSync(startFile)) {
      state.adapters.splice(0, Infinity, { ...STRANGER }, { path: await readFile(startFile, 'utf8'), scale: 1 });
      await rm(startFile, { force: true });
      state.starts++;
      isLoading = 3;
    }
    if (isLoading-- > 0) return say(503, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } });
    if (state.apiKey !== undefined && headers.authorization !== `Bearer ${state.apiKey}`)
      return say(401, { error: { code: 401, message: 'Invalid API Key', type: 'authentication_error' } });
    if (url !== '/lora-adapters') return say(404, { error: { code: 404, message: 'File Not Found' } });
    if (method === 'GET')
      return say(
        200,
        state.adapters.map((adapter, id) => ({ id, ...adapter, task_name: '' })),
      );
    const scales = JSON.parse(body.toString('utf8')) as { id: number; scale: number }[];
    if (scales.some(({ id }) => state.adapters[id] === undefined)) return say(400, { error: { code: 400 } });
    // What is not named is turned off.
    state.adapters.forEach((adapter, id) => (adapter.scale = scales.find((one) => one.id === id)?.scale ?? 0));
    return say(200, { success: true });
  };
  return Object.assign(state, http, { startFile });
}

beforeAll(async () => {
  network = await ReleaseNetwork.start(MEASURED);
  await network.complete(measuredRun(REPOSITORY, MEASURED.length));
  versions = await network.versionsOf(REPOSITORY);
  ({ publicKey: key } = await network.operate<SigningKeyView>('GET', routes.signingKey));
});
afterAll(async () => network?.stop());
beforeEach(async () => {
  to = await mkdtemp(join(tmpdir(), 'fedlora-llama-'));
  base = await mkdtemp(join(tmpdir(), 'fedlora-base-'));
  await writeFile(join(base, 'config.json'), JSON.stringify(measuredBase));
  server = await fakeLlamaCpp(join(to, 'start'));
});
afterEach(async () => {
  await server.close();
  for (const folder of [to, base]) await rm(folder, { recursive: true, force: true });
});

describe('a llama.cpp server', () => {
  it('is restarted with the new version, waited for, and given its scale; the adapters of others stay as they are', async () => {
    await promote(1);
    await tell(loader({ restart: restart() }), {}, await pull());
    expect(server.adapters).toEqual([STRANGER, { path: file(1), scale: 1 }]);
    expect(server.starts).toBe(1);
    expect(await readlink(join(to, 'current.gguf'))).toBe(join('gguf', basename(file(1))));
    const { metadata } = await gguf(file(1), { allowLocalFile: true });
    expect(metadata).toMatchObject({ 'general.architecture': 'llama', 'general.version': versions[1] });
  });

  it('that has the version already, under whatever path, is switched to it by scales alone', async () => {
    await promote(1);
    const elsewhere = (number: number) => ({ path: `/mounted/support-${versions[number]}.gguf`, scale: 1 });
    server.adapters.push(elsewhere(1), elsewhere(2));
    await tell(loader(), {}, await pull());
    expect(server.adapters.map(({ scale }) => scale)).toEqual([0.5, 1, 0]);
    await promote(2);
    await tell(loader(), {}, await pull());
    expect(server.adapters.map(({ scale }) => scale)).toEqual([0.5, 0, 1]);
    expect(server.starts).toBe(0);
  });

  it('that has it not is no success without a restart: what it has is said, and it goes on with that', async () => {
    await promote(1);
    await tell(loader({ restart: restart() }), {}, await pull());
    await promote(2);
    const told = tell(loader(), {}, await pull());
    await expect(told).rejects.toMatchObject({ code: 'pull/not-loaded' });
    await expect(told).rejects.toThrow(new RegExp(`has .*${versions[1]}.gguf and cannot load .*${versions[2]}.gguf`));
    expect(server.adapters.at(-1)).toEqual({ path: file(1), scale: 1 });
    // The link is for whoever restarts it.
    expect(await readlink(join(to, 'current.gguf'))).toContain(versions[2]);
  });

  it('is restarted once for a version, and not again and again when that did not help', async () => {
    await promote(1);
    const stubborn = loader({
      restart: { command: `printf /etc/fixed.gguf > "${server.startFile}"`, environment: process.env },
      restartWaitMs: 2000,
    });
    const pulled = await pull();
    await expect(tell(stubborn, {}, pulled)).rejects.toThrow(/a restart did not help/);
    await expect(tell(stubborn, {}, pulled)).rejects.toThrow(/restarted for it once/);
    expect(server.starts).toBe(1);
    const broken = loader({ restart: { command: 'exit 3', environment: process.env } });
    await expect(tell(broken, {}, pulled)).rejects.toThrow(/ended with 3/);
  });

  it('is asked with its API key', async () => {
    server.apiKey = 'secret';
    await promote(1);
    server.adapters.push({ path: file(1), scale: 0 });
    const pulled = await pull();
    await expect(tell(loader(), {}, pulled)).rejects.toThrow(/401/);
    await tell(loader({ apiKey: 'secret' }), {}, pulled);
    expect(server.adapters.at(-1)).toEqual({ path: file(1), scale: 1 });
  });

  it('is recognized: another program at its address is said to be another', async () => {
    await promote(1);
    const other = await serve((_request, _body, response) => response.writeHead(200).end('{"hello": "world"}'));
    const told = tell(loader({ url: other.url }), {}, await pull());
    await expect(told).rejects.toThrow(/no llama.cpp server/);
    await other.close();
  });

  it('follows the channel, gets its scale back after a restart by somebody else, and keeps no old files', async () => {
    const failures: FedloraError[] = [];
    const stop = new AbortController();
    await promote(1);
    const running = watch({
      pull,
      loaders: [loader({ restart: restart() })],
      onPulled: () => undefined,
      onFailure: (error) => void failures.push(error),
      changed: (_id, mostMs) => wait(mostMs),
      intervalMs: 30,
      signal: stop.signal,
    });
    const served = (): string | undefined => server.adapters.filter(({ scale }) => scale === 1).at(-1)?.path;
    for (const number of [1, 2, 3]) {
      await promote(number);
      await expect.poll(served, { timeout: 10_000 }).toBe(file(number));
    }
    // Restarted with --lora-init-without-apply.
    server.adapters.forEach((adapter) => (adapter.scale = 0));
    await expect.poll(served, { timeout: 5000 }).toBe(file(3));
    await expect
      .poll(async () => (await readdir(join(to, 'gguf'))).sort())
      .toEqual([2, 3].map((number) => basename(file(number))).sort());
    stop.abort();
    await running;
    expect(failures).toEqual([]);
  });

  it('is a choice of the command line that says what it needs', async () => {
    await promote(1);
    const run = (...more: string[]) =>
      fedlora(
        ['pull', REPOSITORY, '--url', network.url, '--key', key, '--to', to, '--llama-cpp', server.url, ...more],
        {
          environment: { ...process.env, FEDLORA_API_TOKEN: network.token },
        },
      );
    expect((await run()).error).toContain('--base');
    expect((await run('--base', base, '--name', 'a/b')).error).toContain('--name');
    expect((await run('--base', base)).error).toContain('[pull/not-loaded]');
    expect((await run('--base', base, '--llama-cpp-restart', restart().command)).error).toBe('');
    expect(server.adapters.at(-1)).toEqual({ path: file(1), scale: 1 });
  });

  // Last, since what is revoked stays revoked.
  it('has a revoked version turned off at once, whether the one in its place can be loaded or not', async () => {
    await promote(1);
    await promote(2);
    const sidecar = loader();
    server.adapters.push({ path: file(2), scale: 1 });
    const state = {};
    await tell(sidecar, state, await pull());
    await revoke(2);
    await expect(tell(sidecar, state, await pull())).rejects.toMatchObject({ code: 'pull/not-loaded' });
    expect(server.adapters.map(({ scale }) => scale)).toEqual([0.5, 0]);
    for (const number of [1, 3, 4]) await revoke(number);
    server.adapters.push({ path: file(1), scale: 1 });
    await tell(sidecar, state, await pull());
    expect(server.adapters.map(({ scale }) => scale)).toEqual([0.5, 0, 0]);
    expect(existsSync(join(to, 'current.gguf'))).toBe(false);
  });
});
