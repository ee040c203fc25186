import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeFederation } from '../../../test/support/fake-federation.js';
import { send } from '../../../test/support/requests.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';

let folder: string;
let coordinator: RunningCoordinator;
const get = (path: string): Promise<Response> => send(coordinator.url, 'GET', path);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-documentation-'));
  coordinator = await startCoordinator({
    dataFolder: folder,
    host: '127.0.0.1',
    port: 0,
    logLevel: 'silent',
    federationKey: new FakeFederation().federationKey,
  });
});
afterAll(async () => {
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

/** Pages by address, from the first one on: everything that its links lead to. */
async function everyPage(): Promise<Map<string, string>> {
  const pages = new Map<string, string>();
  const addresses = ['/docs'];
  for (const address of addresses) {
    const answer = await get(address);
    expect([address, answer.status]).toEqual([address, 200]);
    if (!(answer.headers.get('content-type') ?? '').startsWith('text/html')) continue;
    const page = await answer.text();
    pages.set(address, page);
    for (const [, to] of page.matchAll(/(?:href|src)="(\/docs[^"#?]*)/g))
      if (!addresses.includes(to)) addresses.push(to);
  }
  return pages;
}

describe('the documentation at /docs', () => {
  it('answers everybody, and every link of every page leads somewhere, to its anchor too', async () => {
    const pages = await everyPage();
    expect([...pages.keys()]).toEqual(expect.arrayContaining(['/docs/configuration', '/docs/runbook/keys']));
    const anchors = new Map([...pages].map(([address, page]) => [address, anchorsOf(page)]));
    const broken = [...pages].flatMap(([address, page]) =>
      [...page.matchAll(/href="(\/docs[^"#?]*|)#([^"]+)"/g)]
        .filter(([, to, anchor]) => anchors.get(to === '' ? address : to)?.has(decodeURIComponent(anchor)) !== true)
        .map(([link]) => `${address}: ${link}`),
    );
    expect(broken).toEqual([]);
  });

  it('has no script and nothing from elsewhere, under the policy that every answer has', async () => {
    const answer = await get('/docs');
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'self'");
    expect(answer.headers.get('cache-control')).toBe('no-cache');
    for (const [address, page] of await everyPage()) {
      expect(page, address).not.toMatch(/<script|<style|\son\w+="|src="(?!\/docs\/)/);
      expect(page, address).toContain(`<html lang="en">`);
    }
  });

  it('is asked for again only where it changed', async () => {
    const etag = (await get('/docs/configuration')).headers.get('etag') ?? '';
    const again = await send(coordinator.url, 'GET', '/docs/configuration', undefined, undefined, {
      'if-none-match': etag,
      // What browsers send; fetch of Node else asks for no cache at all.
      'cache-control': 'max-age=0',
    });
    expect(again.status).toBe(304);
  });

  it('finds a section by words, and shows what was asked as text', async () => {
    const found = await (await get('/docs/search?q=trusted+proxies')).text();
    expect(found).toMatch(/<a href="\/docs\/[\w/-]+#[\w-]+">/);
    const nothing = await (await get(`/docs/search?q=${encodeURIComponent('<b>"zyzzyva"')}`)).text();
    expect(nothing).toContain('<q>&lt;b&gt;&quot;zyzzyva&quot;</q>');
    expect((await get('/docs/search?q[a]=b')).status).toBe(200);
  });

  it.each([
    '/docs/nowhere',
    '/docs/../package.json',
    '/docs/%2e%2e/package.json',
    '/docs/pictures/..%2f..%2fREADME.md',
    '/docs/package.json',
  ])('has no page at %s', async (path) => {
    expect((await get(path)).status).toBe(404);
  });

  it('says so where there is no page, with the way to the first one', async () => {
    expect(await (await get('/docs/nowhere')).text()).toContain('<a href="/docs">');
  });
});

function anchorsOf(page: string): Set<string> {
  return new Set([...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id));
}
