import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeFederation } from '../../../test/support/fake-federation.js';
import { send } from '../../../test/support/requests.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';

let folder: string;
let coordinator: RunningCoordinator;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-docs-'));
  const { federationKey } = new FakeFederation();
  coordinator = await startCoordinator({
    dataFolder: folder,
    host: '127.0.0.1',
    port: 0,
    logLevel: 'silent',
    federationKey,
  });
});
afterAll(async () => {
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the page that shows the API’s document', () => {
  it('has nothing that its content security policy forbids, and everything it names is there', async () => {
    const answer = await send(coordinator.url, 'GET', '/api/v1/docs');
    const policy = answer.headers.get('content-security-policy') ?? '';
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toContain('unsafe-eval');
    const page = await answer.text();
    expect(page).not.toMatch(/<script>|<style|\son\w+=|https?:/);
    const named = [...page.matchAll(/(?:src|href)="(\/api[^"]+)"/g)].map(([, path]) => path);
    expect(named).toHaveLength(3);
    for (const path of named) {
      const file = await send(coordinator.url, 'GET', path);
      expect([path, file.status]).toEqual([path, 200]);
      expect(file.headers.get('content-type')).toMatch(path.endsWith('.css') ? /^text\/css/ : /^text\/javascript/);
      expect((await file.text()).length).toBeGreaterThan(100);
    }
  });

  it('serves of the viewer’s package what the page needs, and nothing else', async () => {
    for (const name of ['index.html', 'swagger-ui-bundle.js', '..%2fpackage.json', 'viewer.js.map'])
      expect((await send(coordinator.url, 'GET', `/api/v1/docs/${name}`)).status, name).toBe(404);
  });
});
