import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingHttpHeaders, type RequestOptions } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusAddress, type StatusAddress } from '../config/status-address.js';
import { openStatusPage, type StatusPage } from './status-page.js';
import type { Status } from './status-file.js';

const status: Status = {
  pid: 1,
  clientVersion: '0.1.0',
  organisation: 'clinic',
  coordinator: 'https://fedlora.example.org',
  state: 'idle',
  since: 0,
  why: 'Waits for "<script>alert(1)</script>".',
  next: 'Joins the next round.',
  connected: true,
  device: 'cpu',
  roundId: null,
  lastRound: null,
  rosterChange: null,
  suspension: null,
  rounds: { counted: 3, declined: 1, aborted: 0 },
  sent: { controlMessage: null, maskedUpdate: { bytes: 4096, at: 0 }, keyShares: null },
};

describe('statusAddress', () => {
  it.each([
    ['127.0.0.1:7401', { kind: 'tcp', host: '127.0.0.1', port: 7401 }],
    ['127.8.0.9:80', { kind: 'tcp', host: '127.8.0.9', port: 80 }],
    ['localhost:7401', { kind: 'tcp', host: '127.0.0.1', port: 7401 }],
    ['[::1]:7401', { kind: 'tcp', host: '::1', port: 7401 }],
    ['unix:/run/fedlora/status.sock', { kind: 'unix', path: '/run/fedlora/status.sock' }],
  ])('reads %s', (given, address) => {
    expect(statusAddress(given)).toEqual(address);
  });

  it.each([
    '0.0.0.0:7401',
    '10.0.0.1:7401',
    '[::]:7401',
    'example.org:7401',
    '127.0.0.1',
    '127.0.0.1:0',
    '127.0.0.1:70000',
    '127.1:80',
    '127.0.0.999:80',
    'localhost.example.org:80',
    '7401',
    'unix:',
    '',
  ])('refuses %s', (given) => {
    expect(statusAddress(given)).toBeUndefined();
  });
});

describe('the status page', () => {
  let folder: string;
  let page: StatusPage | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-page-'));
  });
  afterEach(async () => {
    await page?.close();
    page = undefined;
    await rm(folder, { recursive: true, force: true });
  });

  async function open(address: StatusAddress): Promise<void> {
    page = await openStatusPage(address, () => status);
  }
  async function onFreePort(host = '127.0.0.1'): Promise<number> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, host, resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    await open({ kind: 'tcp', host, port });
    return port;
  }
  function ask(options: RequestOptions): Promise<{ status: number; headers: IncomingHttpHeaders; body: string }> {
    return new Promise((resolve, reject) => {
      const sent = request({ agent: false, ...options }, (response) => {
        text(response).then(
          (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
          reject,
        );
      });
      sent.on('error', reject).end();
    });
  }

  it('shows the status as JSON, all of it and nothing besides', async () => {
    const port = await onFreePort();
    const { status: code, body, headers } = await ask({ port, path: '/status.json' });
    expect(code).toBe(200);
    expect(headers['content-type']).toBe('application/json; charset=utf-8');
    expect(JSON.parse(body)).toEqual(status);
  });

  it('shows it as a page of text that can run nothing and load nothing', async () => {
    const port = await onFreePort();
    const { status: code, body, headers } = await ask({ port, path: '/' });
    expect(code).toBe(200);
    expect(body).toContain('3 counted, 1 declined, 0 aborted');
    expect(body).toContain('4096 bytes');
    expect(body).toContain('&lt;script&gt;');
    expect(body).not.toContain('<script');
    expect(headers['content-security-policy']).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });

  it('answers to this machine’s own names only, so that no other site can read it by DNS rebinding', async () => {
    const port = await onFreePort();
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`])
      expect((await ask({ port, path: '/', headers: { host } })).status, host).toBe(200);
    for (const host of [
      `evil.example:${port}`,
      'localhost',
      `localhost:${port + 1}`,
      `localhost.evil.example:${port}`,
      `10.0.0.1:${port}`,
    ]) {
      const answer = await ask({ port, path: '/status.json', headers: { host } });
      expect(answer.status, host).toBe(421);
      expect(answer.body).not.toContain('clinic');
    }
  });

  it('can only be looked at', async () => {
    const port = await onFreePort();
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      expect(await ask({ port, path: '/', method })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
    expect(await ask({ port, path: '/', method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    expect((await ask({ port, path: '/identity.key' })).status).toBe(404);
    expect((await ask({ port, path: '/../status.json' })).status).toBe(404);
  });

  it('listens on a Unix socket that nobody else may open, and takes it away at the end', async () => {
    const path = join(folder, 'status.sock');
    await open({ kind: 'unix', path });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await ask({ socketPath: path, path: '/status.json' })).status).toBe(200);
    await page?.close();
    page = undefined;
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('replaces a socket that was left behind, and no other file', async () => {
    const path = join(folder, 'status.sock');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await open({ kind: 'unix', path });
    expect((await ask({ socketPath: path, path: '/' })).status).toBe(200);
    server.close();
    const file = join(folder, 'rows.jsonl');
    await writeFile(file, '{}');
    await expect(openStatusPage({ kind: 'unix', path: file }, () => status)).rejects.toMatchObject({
      code: 'config/invalid',
    });
    expect((await stat(file)).isFile()).toBe(true);
  });

  it('says so where the port is taken', async () => {
    const port = await onFreePort();
    const again = openStatusPage({ kind: 'tcp', host: '127.0.0.1', port }, () => status);
    await expect(again).rejects.toMatchObject({ code: 'config/invalid', where: 'statusPage' });
  });
});
