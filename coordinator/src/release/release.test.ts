import {
  routes,
  type AuditLine,
  type ChannelMoveView,
  type ChannelView,
  type ComparisonView,
  type NewApiToken,
  type Page,
  type ReleaseView,
  type RepositoryView,
  type RunPlanView,
  type RunView,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { measuredRun, ReleaseNetwork } from '../../../test/support/release-network.js';
import { json, send } from '../../../test/support/requests.js';

/** What the organisations measure of the version that each round starts from: the third version is worse than the second. */
const MEASURED = [
  { loss: 2, exact: 0.1 },
  { loss: 1, exact: 0.5 },
  { loss: 1.5, exact: 0.4 },
  { loss: 0.9, exact: 0.5 },
];

const REPOSITORY = 'city/support';
const stable = routes.channel(REPOSITORY, 'stable');

let network: ReleaseNetwork;
let run: RunView;
/** Ids of the run's versions, the untrained first one at 0. */
let versions: string[];
const release = (number: number): Promise<ReleaseView> => operator('GET', routes.release(versions[number]));
const promote = (number: number, more: object = {}, channel = stable): Promise<Response> =>
  ask('PUT', channel, network.token, { version: versions[number], ...more });
const lastAudit = async (): Promise<AuditLine['entry']> =>
  (await operator<Page<AuditLine>>('GET', `${routes.audit}?limit=1`)).items[0].entry;

const operator = <Value>(method: string, path: string, body?: object): Promise<Value> =>
  network.operate<Value>(method, path, body);
const ask = (method: string, path: string, token = network.token, body?: object, headers?: Record<string, string>) =>
  send(network.url, method, path, token, body, headers);

beforeAll(async () => {
  network = await ReleaseNetwork.start(MEASURED);
  run = await network.complete(measuredRun(REPOSITORY, MEASURED.length));
  versions = await network.versionsOf(REPOSITORY);
});
afterAll(async () => {
  await network?.stop();
});

describe('what a run publishes', () => {
  it('is in the repository that its description names, as the candidate', async () => {
    expect(run).toMatchObject({ status: 'completed', repository: REPOSITORY });
    const repository = await operator<RepositoryView>('GET', routes.repository(REPOSITORY));
    expect(repository).toMatchObject({ name: REPOSITORY, baseName: 'tiny', runs: [run.id], versions: 5 });
    expect(repository.channels).toEqual([
      {
        name: 'candidate',
        version: run.version,
        previous: null,
        isAutomatic: true,
        changedAt: expect.any(Number) as number,
      },
    ]);
    const { items } = await operator<Page<RepositoryView>>('GET', routes.repositories);
    expect(items).toEqual([repository]);
  });

  it('is described with what was measured of it in the round after, and where it comes from', async () => {
    const second = await release(2);
    expect(second).toMatchObject({
      number: 2,
      parent: versions[1],
      roundNumber: 2,
      rule: 'ffa-svd',
      unit: 'none',
      organisations: ['bank', 'clinic', 'council'],
      channels: [],
      evaluation: { roundNumber: 3 },
    });
    expect(second.evaluation?.loss).toBeCloseTo(1.5, 4);
    expect(second.evaluation?.accuracy).toBeCloseTo(0.4, 4);
    expect((await release(4)).evaluation).toBeNull();
  });

  it('has a lineage of pages, back to the first version of the run', async () => {
    const { items, nextCursor } = await operator<Page<ReleaseView>>('GET', `${routes.lineage(versions[3])}?limit=3`);
    expect(items.map(({ id }) => id)).toEqual([versions[3], versions[2], versions[1]]);
    const rest = await operator<Page<ReleaseView>>('GET', `${routes.lineage(versions[3])}?cursor=${nextCursor ?? ''}`);
    expect(rest).toMatchObject({ items: [{ id: versions[0], parent: null, roundNumber: null }], nextCursor: null });
  });

  it('is listed in pages, newest first', async () => {
    const page = await operator<Page<ReleaseView>>('GET', `${routes.releases(REPOSITORY)}?limit=2`);
    expect(page.items.map(({ number }) => number)).toEqual([4, 3]);
    const next = await operator<Page<ReleaseView>>(
      'GET',
      `${routes.releases(REPOSITORY)}?limit=2&cursor=${page.nextCursor ?? ''}`,
    );
    expect(next.items.map(({ number }) => number)).toEqual([2, 1]);
  });

  it('is compared module by module', async () => {
    const comparison = await operator<ComparisonView>('GET', routes.comparison(versions[1], versions[3]));
    expect(comparison).toMatchObject({ left: { number: 1 }, right: { number: 3 }, commonAncestor: versions[1] });
    expect(comparison.modules?.map(({ name }) => name)).toEqual([
      'model.layers.0.mlp.up_proj',
      'model.layers.0.self_attn.q_proj',
    ]);
    for (const { left, difference } of comparison.modules ?? []) {
      expect(left).toBeGreaterThan(0);
      expect(difference).toBeGreaterThan(0);
    }
    const itself = await operator<ComparisonView>('GET', routes.comparison(versions[1], versions[1]));
    for (const { left, difference } of itself.modules ?? []) expect(difference / left).toBeLessThan(1e-6);
  });
});

describe('a channel', () => {
  it('takes a version that passes the gate, and the audit log says who promoted it', async () => {
    expect(await json<ChannelView>(await promote(1))).toMatchObject({
      name: 'stable',
      version: versions[1],
      previous: null,
    });
    expect(await lastAudit()).toMatchObject({
      event: 'channel.promoted',
      details: { repository: REPOSITORY, channel: 'stable', gate: 'passed', override: null },
      before: { version: null },
      after: { version: versions[1] },
    });
    expect((await release(1)).channels).toEqual(['stable']);
  });

  it('keeps a version that it has already, without a note of it', async () => {
    const { sequence } = await lastAudit();
    await json(await promote(1));
    expect((await lastAudit()).sequence).toBe(sequence);
  });

  it.each([
    [2, 'failed', 'the stable version has 1.0000'],
    [4, 'not-measured', 'has not ended well'],
    [0, 'failed', 'nothing was trained'],
  ])('refuses version %i, whose gate is %s, and says why', async (number, outcome, reason) => {
    expect((await release(number)).gate).toMatchObject({ outcome, reference: versions[1] });
    const refused = await promote(number);
    expect(refused.status).toBe(409);
    expect(await refused.json()).toMatchObject({
      code: 'channel/gate',
      detail: expect.stringContaining(reason) as string,
    });
  });

  it('takes it all the same with a reason, which is kept', async () => {
    await json(await promote(2, { override: 'the hospital needs the new terms' }));
    expect((await lastAudit()).details).toMatchObject({ gate: 'failed', override: 'the hospital needs the new terms' });
    const moves = await operator<Page<ChannelMoveView>>('GET', routes.channelMoves(REPOSITORY, 'stable'));
    expect(moves.items).toMatchObject([
      { kind: 'promoted', before: versions[1], after: versions[2], gate: 'failed', by: expect.any(String) as string },
      { kind: 'promoted', before: null, after: versions[1], gate: 'passed', reason: null },
    ]);
  });

  it('is not moved by who looked at it before somebody else moved it', async () => {
    const seen = await ask('GET', stable);
    const tag = seen.headers.get('etag') ?? '';
    await json(await promote(3));
    const late = await ask('POST', `${stable}/rollback`, network.token, undefined, { 'if-match': tag });
    expect(late.status).toBe(412);
    const now = await ask('GET', stable);
    const inTime = { 'if-match': now.headers.get('etag') ?? '' };
    const rolledBack = await ask('POST', `${stable}/rollback`, network.token, undefined, inTime);
    expect(await rolledBack.json()).toMatchObject({ version: versions[2], previous: versions[1] });
  });

  it('is rolled back once for one key, however often it is asked', async () => {
    const key = { 'idempotency-key': 'one-key-of-a-roll-back' };
    for (let i = 0; i < 3; i += 1)
      expect(await json(await ask('POST', `${stable}/rollback`, network.token, undefined, key))).toMatchObject({
        version: versions[1],
        previous: null,
      });
    const further = await ask('POST', `${stable}/rollback`);
    expect(await further.json()).toMatchObject({ code: 'channel/no-previous' });
  });

  it('of another name is made by a promotion, and ends when it is asked to', async () => {
    const beta = routes.channel(REPOSITORY, 'beta');
    expect((await ask('GET', beta)).status).toBe(404);
    await json(await promote(3, {}, beta));
    expect((await release(3)).channels).toEqual(['beta']);
    await json(await ask('DELETE', beta));
    expect((await ask('GET', beta)).status).toBe(404);
  });

  it.each([
    ['candidate', 'channel/fixed'],
    ['main', 'channel/fixed'],
    ['UPPER', 'channel/fixed'],
    ['b'.repeat(40), 'channel/fixed'],
  ])('called %s cannot be promoted to', async (name, code) => {
    const refused = await promote(3, {}, routes.channel(REPOSITORY, name));
    expect(await refused.json()).toMatchObject({ status: 409, code });
  });

  it('takes no version of another repository, and none that there is not', async () => {
    const other = await network.complete(measuredRun('city/other', 1));
    const refused = await ask('PUT', stable, network.token, { version: other.version });
    expect(await refused.json()).toMatchObject({ code: 'version/unknown' });
    const nowhere = await ask('PUT', routes.channel('city/nowhere', 'stable'), network.token, {
      version: versions[1],
    });
    expect(await nowhere.json()).toMatchObject({ code: 'repository/unknown' });
  });
});

describe('a tag', () => {
  const tag = (name: string): string => routes.tag(REPOSITORY, name);
  const tagged = (name: string, number: number): Promise<Response> =>
    ask('PUT', tag(name), network.token, { version: versions[number] });

  it('names a version for good, and is in the audit log', async () => {
    expect(await json(await tagged('v1.0', 3))).toMatchObject({ name: 'v1.0', version: versions[3] });
    expect(await lastAudit()).toMatchObject({ event: 'tag.added', details: { tag: 'v1.0', version: versions[3] } });
    expect(await json(await tagged('v1.0', 3))).toMatchObject({ version: versions[3] });
    expect((await release(3)).tags).toEqual(['v1.0']);
    expect(await (await tagged('v1.0', 2)).json()).toMatchObject({ status: 409, code: 'tag/taken' });
  });

  it('has no name of a channel, and no channel has its', async () => {
    expect(await (await tagged('stable', 3)).json()).toMatchObject({ code: 'tag/taken' });
    await json(await tagged('spring', 3));
    const channel = await promote(3, {}, routes.channel(REPOSITORY, 'spring'));
    expect(await channel.json()).toMatchObject({ code: 'channel/fixed' });
  });

  it.each(['main', 'UPPER', 'a..b', 'a'.repeat(40), '-x'])('is never called %s', async (name) => {
    expect(await (await tagged(name, 3)).json()).toMatchObject({ status: 422, code: 'tag/invalid' });
  });

  it('is gone when it is taken away', async () => {
    await json(await ask('DELETE', tag('spring')));
    expect(await (await ask('DELETE', tag('spring'))).json()).toMatchObject({ status: 404, code: 'tag/unknown' });
    expect((await release(3)).tags).toEqual(['v1.0']);
  });
});

describe('a version', () => {
  it('is deprecated with a note, which can be taken back', async () => {
    const note = 'Use the one of the next round.';
    const deprecated = await operator<ReleaseView>('PUT', routes.deprecation(versions[1]), { note });
    expect(deprecated.deprecated).toMatchObject({ reason: note });
    expect(await lastAudit()).toMatchObject({ event: 'version.deprecated', before: { note: null }, after: { note } });
    expect(await operator('DELETE', routes.deprecation(versions[1]))).toMatchObject({ deprecated: null });
  });

  it('that is revoked leaves every channel, which falls back to the one before', async () => {
    await json(await promote(3));
    const reason = 'A record was in it that should not have been.';
    const revoked = await operator<ReleaseView>('POST', routes.revocation(versions[3]), { reason });
    expect(revoked).toMatchObject({ revoked: { reason }, channels: [] });
    expect(await operator('GET', stable)).toMatchObject({ version: versions[1] });
    expect(await lastAudit()).toMatchObject({ event: 'version.revoked', details: { channels: 'stable', reason } });
    // The first reason stays.
    const again = await operator<ReleaseView>('POST', routes.revocation(versions[3]), { reason: 'Another.' });
    expect(again.revoked?.reason).toBe(reason);
  });

  it('that is revoked gives its files to nobody but who trains from it, and says why', async () => {
    const path = routes.versionFile(versions[3], 'adapter_model.safetensors');
    const gone = await ask('GET', path);
    expect(gone.status).toBe(410);
    expect(gone.headers.get('content-type')).toContain('application/problem+json');
    expect(await gone.json()).toMatchObject({
      code: 'version/revoked',
      detail: expect.stringContaining('should not have been') as string,
    });
    const session = await network.federation.organisations[0].signIn(network.url);
    expect((await ask('GET', path, session)).status).toBe(200);
  });

  it('that was trained from a revoked one fails the gate, and a revoked one is promoted nowhere', async () => {
    expect((await release(4)).gate.checks.find(({ name }) => name === 'lineage')).toMatchObject({ outcome: 'failed' });
    const refused = await promote(3, { override: 'all the same' });
    expect(await refused.json()).toMatchObject({ status: 410, code: 'version/revoked' });
  });

  it('that is revoked is no candidate: the newest that is left is', async () => {
    await operator('POST', routes.revocation(versions[4]), { reason: 'As its parent.' });
    const candidate = await operator<ChannelView>('GET', routes.channel(REPOSITORY, 'candidate'));
    expect(candidate.version).toBe(versions[2]);
  });

  it('that was the only one of a channel leaves it empty', async () => {
    await operator('POST', routes.revocation(versions[1]), { reason: 'For the test.' });
    await operator('POST', routes.revocation(versions[2]), { reason: 'For the test.' });
    expect(await operator('GET', stable)).toMatchObject({ version: null, previous: null });
  });
});

describe('runs of one repository', () => {
  it('share its channels, and are compared with one another', async () => {
    const second = await network.complete({ ...measuredRun(REPOSITORY, MEASURED.length), title: 'Second series' });
    const repository = await operator<RepositoryView>('GET', routes.repository(REPOSITORY));
    expect(repository).toMatchObject({ runs: [run.id, second.id], versions: 10 });
    expect(repository.channels[0]).toMatchObject({ name: 'candidate', version: second.version });
  });

  it('are of one base model', async () => {
    const description = measuredRun(REPOSITORY, 1) as { base: object };
    const base = { ...description.base, digest: 'c'.repeat(64) };
    const refused = await ask('POST', routes.runs, network.token, { ...description, base });
    expect(await refused.json()).toMatchObject({
      status: 422,
      detail: expect.stringContaining('another base model') as string,
    });
  });

  it('are told before they start that they cannot share one', async () => {
    const description = measuredRun('api/support', 1);
    const plan = await operator<RunPlanView>('POST', routes.runPlan, description);
    expect(plan).toMatchObject({ plan: null, problems: [{ field: 'repository', severity: 'error' }] });
    expect(plan.problems[0].remedy).toContain('one of its own');
  });

  it('are compared in their numbers, and not in their updates, with those of another base model', async () => {
    const description = measuredRun('city/elsewhere', 1) as { base: object };
    const other = await network.complete({ ...description, base: { ...description.base, digest: 'd'.repeat(64) } });
    expect(await operator('GET', routes.comparison(versions[1], other.version))).toMatchObject({
      left: { id: versions[1] },
      right: { id: other.version },
      commonAncestor: null,
      modules: null,
    });
  });

  it('are released only by who may see all of them', async () => {
    const permissions = ['versions.read', 'versions.manage'];
    const { token: limited } = await operator<NewApiToken>('POST', routes.tokens, {
      name: 'x',
      permissions,
      runs: [run.id],
    });
    const refused = await ask('POST', `${stable}/rollback`, limited);
    expect(await refused.json()).toMatchObject({ status: 403, code: 'access/wrong-scope' });
    expect(await json<Page<RepositoryView>>(await ask('GET', routes.repositories, limited))).toMatchObject({
      items: [],
    });
    expect((await ask('GET', routes.release(versions[1]), limited)).status).toBe(200);
  });

  it('are not released by who may only look', async () => {
    const { token: reader } = await operator<NewApiToken>('POST', routes.tokens, {
      name: 'reader',
      permissions: ['versions.read'],
    });
    const refused = await ask('PUT', stable, reader, { version: versions[0] });
    expect(await refused.json()).toMatchObject({ status: 403, code: 'session/not-allowed' });
  });
});
