/** Services in TypeScript: the registry's client, and the example that answers questions and swaps its adapter while it serves. */

import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { routes, type NewApiToken, type OutcomesView, type SigningKeyView } from '@fedlora/shared';
import { Registry } from '@fedlora/shared/registry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Answerer } from '../../deploy/examples/rag/answerer.ts';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';

const SUPPORT = 'city/support';

let network: ReleaseNetwork;
let versions: string[];
let folder: string;
let token: string;
let coordinatorKey: string;

const promote = (version: string) =>
  network.operate('PUT', routes.channel(SUPPORT, 'stable'), { version, override: 'for the test' });
const registryWith = (change: Partial<ConstructorParameters<typeof Registry>[0]> = {}) =>
  new Registry({ url: network.url, token, coordinatorKey, fetch, ...change });

/** As vLLM answers: knows the adapters that were loaded, and says which of them answered. */
class SmallServer {
  readonly adapters = new Map<string, string>();
  /** Answers wait for it. */
  gate: Promise<unknown> = Promise.resolve();
  private server: Server | undefined;

  async start(): Promise<string> {
    this.server = createServer((request, response) => {
      void (async () => {
        const pieces: Buffer[] = [];
        for await (const piece of request) pieces.push(piece as Buffer);
        const body = JSON.parse(Buffer.concat(pieces).toString('utf8')) as Record<string, string>;
        const [status, answer] = await this.answer(request.url ?? '', body);
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
      })();
    }).listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.server?.close();
  }

  private async answer(path: string, body: Record<string, string>): Promise<[number, object]> {
    if (path === '/v1/load_lora_adapter') {
      this.adapters.set(body.lora_name, body.lora_path);
      return [200, {}];
    }
    if (path === '/v1/unload_lora_adapter') return this.adapters.delete(body.lora_name) ? [200, {}] : [404, {}];
    await this.gate;
    if (body.model !== 'base' && !this.adapters.has(body.model)) return [404, { error: 'no such model' }];
    return [200, { choices: [{ message: { content: `From ${body.model}.` } }] }];
  }
}

beforeAll(async () => {
  network = await ReleaseNetwork.start([
    { loss: 2, exact: 0.1 },
    { loss: 1, exact: 0.5 },
  ]);
  await network.complete(measuredRun(SUPPORT, 2));
  versions = await network.versionsOf(SUPPORT);
  folder = await mkdtemp(join(tmpdir(), 'fedlora-rag-'));
  const permissions = ['versions.read', 'outcomes.write'];
  token = (await network.operate<NewApiToken>('POST', routes.tokens, { name: 'rag', permissions })).token;
  coordinatorKey = (await network.operate<SigningKeyView>('GET', routes.signingKey)).publicKey;
  await network.operate('PUT', routes.outcomeMetrics(SUPPORT), { metrics: [{ name: 'accepted', kind: 'proportion' }] });
  await promote(versions[1]);
});
afterAll(async () => {
  await network?.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the registry’s client', () => {
  it('lists versions, resolves a channel and downloads what is signed', async () => {
    const registry = registryWith();
    expect((await registry.versions(SUPPORT)).map(({ id }) => id)).toEqual([...versions].reverse());
    expect(await registry.resolve(SUPPORT, 'stable')).toBe(versions[1]);
    const { record, files } = await registry.download(versions[1]);
    expect(record).toMatchObject({ id: versions[1], completedRounds: 1 });
    expect([...files.keys()].sort()).toEqual(
      ['README.md', 'adapter_config.json', 'adapter_model.safetensors', 'manifest.json', 'manifest.sig'].sort(),
    );
  });

  it('believes nothing that another key signed, or that was changed on the way', async () => {
    await expect(registryWith({ coordinatorKey: 'ab'.repeat(32) }).download(versions[1])).rejects.toMatchObject({
      code: 'version/bad-signature',
    });
    const changing = registryWith({
      fetch: async (url, request) => {
        const response = await fetch(url, request);
        if (!url.endsWith('.safetensors')) return response;
        const bytes = new Uint8Array(await response.arrayBuffer());
        bytes[bytes.length - 1] ^= 1;
        return new Response(bytes, response);
      },
    });
    await expect(changing.download(versions[1])).rejects.toMatchObject({ code: 'version/file-mismatch' });
  });

  it('passes a refusal on, with its code', async () => {
    await expect(registryWith({ token: 'nobody' }).versions(SUPPORT)).rejects.toMatchObject({ status: 401 });
    await expect(registryWith().download('f'.repeat(40))).rejects.toMatchObject({ code: 'version/unknown' });
  });
});

describe('the example that answers from documents', () => {
  it('swaps the adapter with the channel, ends what it began with the old one, and reports by version', async () => {
    const server = new SmallServer();
    const answerer = new Answerer({
      registry: registryWith(),
      repository: SUPPORT,
      channel: 'stable',
      server: await server.start(),
      baseModel: 'base',
      folder,
      documents: ['A passport is renewed at the town hall.', 'The swimming pool opens at nine.'],
    });
    const trouble: unknown[] = [];
    let isOver = false;
    const pause = async (): Promise<void> => {
      await setTimeout(20);
      if (isOver) throw new Error('over');
    };
    const first = await answerer.answer('Where is a passport renewed?');
    expect(first).toEqual({ text: 'From base.', version: null, sources: ['A passport is renewed at the town hall.'] });
    const following = answerer.follow(pause, (error) => trouble.push(error));
    await expect.poll(() => server.adapters.size).toBe(1);
    const [old] = server.adapters.keys();
    expect((await readdir(server.adapters.get(old) ?? '')).sort()).toContain('adapter_model.safetensors');

    let open: (value?: unknown) => void = () => undefined;
    await expect.poll(async () => (await answerer.answer('A passport?')).version).toBe(versions[1]);
    server.gate = new Promise((done) => (open = done));
    const underWay = answerer.answer('Where is a passport renewed?');
    await promote(versions[2]);
    await expect.poll(() => server.adapters.size).toBe(2);
    open();
    const answer = await underWay;
    expect(answer).toMatchObject({ text: `From ${old}.`, version: versions[1] });
    await expect.poll(() => [...server.adapters.keys()]).toEqual([`adapter-${versions[2].slice(0, 12)}`]);
    const next = await answerer.answer('When does the swimming pool open?');
    expect(next).toMatchObject({ version: versions[2], sources: ['The swimming pool opens at nine.'] });

    answerer.note(answer, false);
    answerer.note(next, true);
    answerer.note(first, true);
    await answerer.report();
    const outcomes = await network.operate<OutcomesView>('GET', routes.outcomes(versions[2]));
    expect(outcomes.metrics[0].all).toMatchObject({ count: 1, estimate: 1 });
    isOver = true;
    await expect(following).rejects.toThrow('over');
    expect(trouble).toEqual([]);
    server.stop();
  });
});
