import { cp, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  routes,
  type AuditLine,
  type ChannelView,
  type ComparisonView,
  type NewApiToken,
  type Page,
  type ReleaseView,
  type RepositoryView,
  type RunView,
  type SigningKeyView,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fedlora } from '../../../test/support/command-line.js';
import { measuredRun, ReleaseNetwork } from '../../../test/support/release-network.js';
import { json, send } from '../../../test/support/requests.js';

const MEASURED = [
  { loss: 2, exact: 0.1 },
  { loss: 1, exact: 0.5 },
];
const SUPPORT = 'city/support';
const DOCS = 'city/docs';
const PRIVATE = { unit: 'client', l2Bound: 1, noiseMultiplier: 2, delta: 1e-5, assumedColluders: 1 };

let network: ReleaseNetwork;
let runs: RunView[];
let support: string[];
let docs: string[];

const operator = <Value>(method: string, path: string, body?: object): Promise<Value> =>
  network.operate<Value>(method, path, body);
const ask = (request: object, repository = SUPPORT, token = network.token): Promise<Response> =>
  send(network.url, 'POST', routes.merges(repository), token, request);
const pair = (first: string, second: string): object => ({
  parents: [first, second].map((version) => ({ version, weight: 1 })),
  method: 'cat',
});
const both = (weights = [0.6, 0.4], method = 'cat', more: object = {}): object => ({
  parents: [support[2], docs[2]].map((version, i) => ({ version, weight: weights[i] })),
  method,
  ...more,
});
const release = (id: string): Promise<ReleaseView> => operator('GET', routes.release(id));

beforeAll(async () => {
  network = await ReleaseNetwork.start(MEASURED);
  runs = [];
  for (const repository of [SUPPORT, DOCS])
    runs.push(
      await network.complete({ ...measuredRun(repository, MEASURED.length), title: repository, privacy: PRIVATE }),
    );
  support = await network.versionsOf(SUPPORT);
  docs = await network.versionsOf(DOCS);
});
afterAll(async () => {
  await network?.stop();
});

describe('a merge that the coordinator makes', () => {
  let merged: ReleaseView;
  beforeAll(async () => {
    merged = await json<ReleaseView>(await ask(both()));
  });

  it('is a version of the first parent’s repository, with its parents, weights and the privacy of both runs together', async () => {
    const [one, other] = [await release(support[2]), await release(docs[2])];
    expect(merged).toMatchObject({
      repository: SUPPORT,
      parent: support[2],
      roundId: null,
      evaluation: null,
      unit: 'client',
      delta: 2e-5,
      organisations: ['bank', 'clinic', 'council'],
      merge: {
        method: 'cat',
        rank: 8,
        parents: [
          { version: support[2], weight: 0.6 },
          { version: docs[2], weight: 0.4 },
        ],
        unit: 'client',
        runs: runs.map(({ id }) => id),
      },
    });
    expect(one.epsilon).toBeGreaterThan(0);
    expect(merged.epsilon).toBeCloseTo((one.epsilon ?? NaN) + (other.epsilon ?? NaN), 10);
    const { entry } = (await operator<Page<AuditLine>>('GET', `${routes.audit}?limit=1`)).items[0];
    expect(entry).toMatchObject({ event: 'version.merged', details: { version: merged.id, repository: SUPPORT } });
  });

  it('counts one run once', async () => {
    const request = {
      parents: [
        { version: support[1], weight: 1 },
        { version: support[2], weight: -0.5 },
      ],
      method: 'linear',
    };
    const { epsilon } = await json<ReleaseView>(await ask(request));
    expect(epsilon).toBe((await release(support[2])).epsilon);
  });

  it('goes the way of every other: candidate, past a gate that has not measured it, to stable', async () => {
    const { id } = await json<ReleaseView>(await ask(both([1, 1], 'svd', { rank: 3 })));
    expect(await operator<ChannelView>('GET', routes.channel(SUPPORT, 'candidate'))).toMatchObject({ version: id });
    expect((await release(id)).gate).toMatchObject({ outcome: 'not-measured' });
    const stable = routes.channel(SUPPORT, 'stable');
    const refused = await send(network.url, 'PUT', stable, network.token, { version: id });
    expect(await refused.json()).toMatchObject({ code: 'channel/gate' });
    const promotion = { version: id, override: 'Measured by hand.' };
    expect(await operator('PUT', stable, promotion)).toMatchObject({ version: id });
  });

  it('is verified offline, by its signature and by merging its parents again', async () => {
    const { publicKey } = await operator<SigningKeyView>('GET', routes.signingKey);
    const folder = (id: string): string => join(network.folder, 'versions', id);
    const parents = [support[2], docs[2]].map(folder);
    for (const more of [[], ['--parents', ...parents]]) {
      const { code, out } = await fedlora(['adapter', 'verify', folder(merged.id), '--key', publicKey, ...more]);
      expect(code).toBe(0);
      expect(out).toContain('is as its coordinator published it');
      expect(out).toContain('of 2 runs together');
    }
  });

  it('has itself and its parents as lineage, and is compared like every version', async () => {
    const { items } = await operator<Page<ReleaseView>>('GET', routes.lineage(merged.id));
    expect(items.map(({ id }) => id)).toEqual([merged.id, support[2], docs[2]]);
    const comparison = await operator<ComparisonView>('GET', routes.comparison(merged.id, support[2]));
    expect(comparison.commonAncestor).toBeNull();
    for (const { difference, left } of comparison.modules ?? []) {
      expect(left).toBeGreaterThan(0);
      expect(difference).toBeGreaterThan(0);
    }
  });

  it('changes nothing for the run of its first parent', async () => {
    expect(await operator<RunView>('GET', routes.run(runs[0].id))).toMatchObject({ version: support[2] });
    const { items } = await operator<Page<ReleaseView>>('GET', routes.lineage(support[2]));
    expect(items.map(({ id }) => id)).toEqual([...support].reverse());
  });

  it('can be merged again', async () => {
    const again = await json<ReleaseView>(
      await ask({
        parents: [
          { version: merged.id, weight: 0.5 },
          { version: docs[1], weight: 0.5 },
        ],
        method: 'svd',
      }),
    );
    expect(again).toMatchObject({ epsilon: merged.epsilon, merge: { rank: 8, runs: runs.map(({ id }) => id) } });
  });
});

describe('fedlora admin versions merge', () => {
  const admin = (...args: string[]) =>
    fedlora(['admin', 'versions', 'merge', SUPPORT, support[2], docs[2], ...args], {
      environment: { FEDLORA_COORDINATOR: network.url, FEDLORA_API_TOKEN: network.token },
    });

  it('has the coordinator merge', async () => {
    const { code, out, error } = await admin('--weights', '0.5,-0.5', '--method', 'linear');
    expect([error, code]).toEqual(['', 0]);
    expect(JSON.parse(out)).toMatchObject({ repository: SUPPORT, merge: { method: 'linear', rank: 4 } });
  });

  it('needs a weight for each version', async () => {
    const { code, error } = await admin('--weights', '1', '--method', 'linear');
    expect([code, error]).toEqual([20, expect.stringContaining('2 versions and 1 weights')]);
  });
});

describe('two who merge at once', () => {
  it('get a whole version each', async () => {
    const before = (await operator<RepositoryView>('GET', routes.repository(SUPPORT))).versions;
    const made = await Promise.all(
      [both([1, 2]), both([2, 1])].map(async (request) => json<ReleaseView>(await ask(request))),
    );
    expect(new Set(made.map(({ id }) => id)).size).toBe(2);
    expect((await operator<RepositoryView>('GET', routes.repository(SUPPORT))).versions).toBe(before + 2);
    for (const { id } of made) expect(await readdir(join(network.folder, 'versions', id))).toHaveLength(6);
    expect((await readdir(join(network.folder, 'versions'))).filter((name) => name.startsWith('.'))).toEqual([]);
  });
});

describe('a coordinator that was killed between a version’s files and its row', () => {
  it('shows nothing of it to anybody', async () => {
    const id = 'a'.repeat(40);
    const folder = join(network.folder, 'versions');
    await cp(join(folder, support[1]), join(folder, id), { recursive: true });
    expect((await send(network.url, 'GET', routes.release(id), network.token)).status).toBe(404);
    expect((await send(network.url, 'GET', routes.versionFile(id, 'README.md'), network.token)).status).toBe(404);
    expect((await send(network.url, 'GET', `/${SUPPORT}/resolve/${id}/README.md`, network.token)).status).toBe(404);
  });
});

describe('what is refused', () => {
  it.each<[string, () => object, number, string]>([
    ['one version', () => ({ parents: [{ version: support[2], weight: 1 }], method: 'cat' }), 400, 'request/invalid'],
    ['a weight of nothing', () => both([1, 0]), 400, 'request/invalid'],
    ['an unknown method', () => both([1, 1], 'ties'), 400, 'request/invalid'],
    ['a rank where it is not free', () => both([1, 1], 'cat', { rank: 3 }), 422, 'adapter/not-mergeable'],
    ['one version twice', () => pair(support[2], support[2]), 422, 'adapter/not-mergeable'],
    ['the untrained beginning of a run', () => pair(support[0], docs[1]), 422, 'adapter/not-mergeable'],
    ['a version that nobody knows', () => pair(support[2], 'f'.repeat(40)), 404, 'version/unknown'],
  ])('is %s', async (_what, request, status, code) => {
    expect(await (await ask(request())).json()).toMatchObject({ status, code });
  });

  it('is a repository that the first parent is not of', async () => {
    expect(await (await ask(both(), DOCS)).json()).toMatchObject({ status: 404, code: 'version/unknown' });
  });

  it('is a parent that the asker may not see', async () => {
    const { token } = await operator<NewApiToken>('POST', routes.tokens, {
      name: 'support only',
      permissions: ['versions.read', 'versions.manage'],
      runs: [runs[0].id],
    });
    expect(await (await ask(both(), SUPPORT, token)).json()).toMatchObject({ status: 403, code: 'access/wrong-scope' });
  });

  it('is a revoked parent; and what was merged from it before comes from a revoked version', async () => {
    const { id } = await json<ReleaseView>(await ask(both([3, 1])));
    await operator('POST', routes.revocation(docs[1]), { reason: 'Trained on the wrong rows.' });
    const lineage = (await release(id)).gate.checks.find(({ name }) => name === 'lineage');
    expect(lineage).toMatchObject({
      outcome: 'failed',
      reason: `Version ${docs[1].slice(0, 8)}, which it comes from, was revoked.`,
    });
    await operator('POST', routes.revocation(docs[2]), { reason: 'As its parent.' });
    expect(await (await ask(both())).json()).toMatchObject({ status: 410, code: 'version/revoked' });
  });
});
