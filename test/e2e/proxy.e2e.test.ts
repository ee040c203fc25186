/** A coordinator behind the proxies of `deploy/proxy`, over TLS: whole rounds of real clients through them, and what they refuse. */

import { readFile, writeFile } from 'node:fs/promises';
import { request, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { limits, routes, type AuditLine, type Page } from '@fedlora/shared';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { caddy, nginx, type DeployedProxy } from '../support/deployed-proxy.js';
import type { Network } from '../support/network.js';
import { authority } from '../support/tls-front.js';
import { smallNetwork, smallRun } from './small-network.js';

const programs = [nginx, caddy].filter(({ path }) => path !== undefined);

let network: Network;
let ca: string;
const proxies = new Map<string, DeployedProxy>();

beforeAll(async () => {
  ca = await readFile(authority, 'utf8');
  network = await smallNetwork(3, { FEDLORA_TRUSTED_PROXIES: 'loopback' });
  const port = Number(new URL(network.url).port);
  for (const [i, program] of programs.entries()) {
    const proxy = await program.start(join(network.options.directory, program.name), port);
    proxies.set(program.name, proxy);
    await moveTo(proxy, network.options.organisations[i].name);
  }
  await network.untilAllConnected();
}, 120_000);
afterAll(async () => {
  await network?.stop();
  await Promise.all([...proxies.values()].map((proxy) => proxy.stop()));
});

/** From now on an organisation's client knows the coordinator by the proxy's address only. */
async function moveTo({ url }: DeployedProxy, organisation: string): Promise<void> {
  await network.killClient(organisation);
  const config = join(network.home(organisation), 'config.yaml');
  const text = await readFile(config, 'utf8');
  expect(text).toContain(network.url);
  await writeFile(config, text.replace(network.url, url));
  network.startClient(organisation, [], { NODE_EXTRA_CA_CERTS: authority });
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** A request over TLS with the authority of the fixtures, which `fetch` cannot be given. */
function ask(url: string, options: RequestOptions = {}, body?: string | Buffer): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { ca, ...options }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
      response.on('error', reject);
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

describe('the proxies of deploy/proxy', () => {
  for (const { name } of [nginx, caddy].filter(({ path }) => path === undefined))
    it(`are not all met here: ${name} is not installed`, () => {
      expect(programs.map((program) => program.name)).not.toContain(name);
    });

  it('carry a round of clients that know the coordinator by them only', async () => {
    const { id } = await network.startRun(await smallRun(1));
    expect(await network.untilRunEnds(id)).toMatchObject({ status: 'completed', completedRounds: 1 });
    const [{ participants }] = await network.rounds(id);
    expect(participants).toHaveLength(3);
  });
});

describe.each(programs)('$name', ({ name }) => {
  const url = (): string => proxies.get(name)?.url ?? '';

  it('gives out the dashboard over TLS, to stay there', async () => {
    const { status, headers, text } = await ask(url());
    expect(status).toBe(200);
    expect(text).toContain('<div id="root">');
    expect(headers['strict-transport-security']).toContain('max-age=31536000');
  });

  it('leads from http to https', async () => {
    const { status, headers } = await fetch(`${proxies.get(name)?.plainUrl}/runs`, { redirect: 'manual' });
    expect(status).toBe(308);
    expect(headers.get('location')).toMatch(/^https:\/\/localhost\b.*\/runs$/);
  });

  it('tells the coordinator where requests come from, whatever they say themselves', async () => {
    const headers = {
      'content-type': 'application/json',
      'x-forwarded-for': '203.0.113.9',
      'x-forwarded-proto': 'http',
      'x-request-id': `spoofed-by-${name}`,
    };
    const wrong = JSON.stringify({ name: 'nobody', password: 'not the password' });
    expect((await ask(url() + routes.signIn, { method: 'POST', headers }, wrong)).status).toBe(401);
    const { items } = await network.get<Page<AuditLine>>(`${routes.audit}?event=user.sign-in.refused`);
    const { entry } = items.find((line) => line.entry.requestId === headers['x-request-id']) ?? {};
    expect(entry?.address).toBe('127.0.0.1');
    const right = JSON.stringify({ name: 'admin', password: network.password });
    const signedIn = await ask(url() + routes.signIn, { method: 'POST', headers }, right);
    expect(signedIn.headers['set-cookie']?.[0]).toMatch(/^__Host-fedlora=.*; Secure/);
  });

  it('passes sockets of pages of its own name on', async () => {
    const socket = io(`${url()}/live`, {
      auth: { token: network.token },
      transports: ['websocket'],
      reconnection: false,
      forceNew: true,
      extraHeaders: { origin: url() },
      ca,
    });
    await new Promise((connected, failed) => socket.once('connect', () => connected(1)).once('connect_error', failed));
    socket.disconnect();
  });

  it('takes a piece of an upload as large as there may be, and no body that is larger than anything', async () => {
    const piece = Buffer.alloc(limits.uploadPieceBytes);
    const upload = await ask(url() + routes.contribution('nothing'), { method: 'PATCH' }, piece);
    // Of nobody: the coordinator's answer, and not the proxy's.
    expect(upload.status).toBe(401);
    const headers = { 'content-type': 'application/json' };
    const large = ask(url() + routes.signIn, { method: 'POST', headers }, Buffer.alloc(16 * 2 ** 20));
    // Who is refused in the middle of sending may see no more than a closed connection, as may a proxy.
    const refused = await large.then(
      ({ status }) => status,
      (error: NodeJS.ErrnoException) => error.code,
    );
    expect([413, 502, 'ECONNRESET', 'EPIPE']).toContain(refused);
  });

  it('keeps the metrics for who asks the coordinator itself', async () => {
    expect((await ask(`${url()}/metrics`)).status).toBe(404);
    expect((await fetch(`${network.url}/metrics`)).status).toBe(200);
  });
});
