import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  limits,
  routes,
  type ApiTokenView,
  type FieldProblem,
  type NewApiToken,
  type OrganisationView,
  type Page,
  type SetupLinkView,
  type UserView,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { aDatabase, databaseContent, databaseSetting } from '../../../test/support/database.js';
import { FakeFederation } from '../../../test/support/fake-federation.js';
import { becomeFirstAdmin } from '../../../test/support/first-admin.js';
import { json, listAll, operate, send } from '../../../test/support/requests.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';
import { openDatabase } from '../storage/database.js';
import { Idempotency } from './idempotency.js';

const names = ['archive', 'bank', 'clinic', 'council', 'museum'];

let folder: string;
let coordinator: RunningCoordinator;
let url: string;
let token: string;
let now = Date.now();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-conventions-'));
  const federation = new FakeFederation();
  const { federationKey } = federation;
  const database = await databaseSetting(folder);
  coordinator = await startCoordinator(
    { ...database, dataFolder: folder, host: '127.0.0.1', port: 0, logLevel: 'silent', federationKey },
    { now: () => now },
  );
  url = coordinator.url;
  ({ token } = await becomeFirstAdmin(url, coordinator.setupToken ?? ''));
  await federation.enrol(url, token, names);
});
afterAll(async () => {
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

async function problemOf(response: Response): Promise<[number, string]> {
  expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8');
  const problem = JSON.parse(await response.text()) as Record<string, unknown>;
  const { fields: _fields, requestId, ...always } = problem;
  expect(requestId).toBe(response.headers.get('x-request-id'));
  expect(Object.keys(always)).toEqual(['type', 'title', 'status', 'code', 'detail', 'retry', 'remedy']);
  expect(problem).toMatchObject({ type: `urn:fedlora:error:${String(problem.code)}`, status: response.status });
  return [response.status, String(problem.code)];
}

describe('a refusal', () => {
  it.each([
    ['an address that is none', 'GET', '/api/v1/nothing', undefined, 404, 'request/not-found'],
    ['a method that the address does not take', 'DELETE', '/api/v1/runs', undefined, 404, 'request/not-found'],
    ['an address that cannot be decoded', 'GET', '/api/v1/runs/%E0%A4%A', undefined, 400, 'request/invalid'],
    ['a body that is no JSON', 'POST', '/api/v1/tokens', '{"name":', 400, 'request/invalid'],
    ['no body', 'POST', '/api/v1/tokens', undefined, 400, 'request/invalid'],
    [
      'a body that is too large',
      'POST',
      '/api/v1/tokens',
      `"${'x'.repeat(limits.jsonBodyBytes)}"`,
      413,
      'request/too-large',
    ],
    ['an unknown property', 'POST', '/api/v1/invitations', '{"name":"a","more":1}', 400, 'request/invalid'],
    ['an unknown parameter', 'GET', '/api/v1/runs?more=1', undefined, 400, 'request/invalid'],
    ['a parameter given twice', 'GET', '/api/v1/runs?limit=1&limit=2', undefined, 400, 'request/invalid'],
  ])('of %s is a problem document', async (_what, method, path, body, status, code) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const answer = await fetch(url + path, { method, headers, ...(body === undefined ? {} : { body }) });
    expect(await problemOf(answer)).toEqual([status, code]);
  });

  it('says of each wrong field what is wrong with it, by its path', async () => {
    const fieldsOf = async (path: string, body: object): Promise<readonly FieldProblem[]> =>
      ((await (await send(url, 'POST', path, token, body)).json()) as { fields: readonly FieldProblem[] }).fields;
    const fields = await fieldsOf(routes.users, { name: '', role: 'king', more: 1 });
    expect(fields.map(({ field }) => field).toSorted()).toEqual(['more', 'name', 'role']);
    for (const { field, message } of fields) expect(message).toContain(field);
    const nested = await fieldsOf(routes.runPlan, { privacy: { delta: 'small' } });
    expect(nested.map(({ field }) => field)).toContain('privacy.delta');
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])(
    'of a body of type %s is a problem document, and nothing is made of it',
    async (type) => {
      const headers = { authorization: `Bearer ${token}`, 'content-type': type };
      const answer = await fetch(`${url}${routes.invitations}`, { method: 'POST', headers, body: '{"name":"clinic"}' });
      expect(await problemOf(answer)).toEqual([415, 'request/unsupported-type']);
    },
  );
});

describe('a list', () => {
  it('comes in pages that together hold every item once', async () => {
    const seen: string[] = [];
    for (let cursor = ''; ;) {
      const page = await operate<Page<OrganisationView>>(url, token, 'GET', `${routes.organisations}?limit=2${cursor}`);
      expect(page.items.length).toBeLessThanOrEqual(2);
      seen.push(...page.items.map(({ name }) => name));
      if (page.nextCursor === null) break;
      cursor = `&cursor=${page.nextCursor}`;
    }
    expect(seen).toEqual(names);
  });

  it('goes on where it was when what it stopped at is gone', async () => {
    const made: NewApiToken[] = [];
    for (const name of ['one', 'two', 'three', 'four']) {
      now += 1;
      made.push(await operate(url, token, 'POST', routes.tokens, { name, permissions: ['runs.read'] }));
    }
    const first = await operate<Page<ApiTokenView>>(url, token, 'GET', `${routes.tokens}?limit=2`);
    expect(first.items.map(({ name }) => name)).toEqual(['four', 'three']);
    await operate(url, token, 'DELETE', routes.token(made[2].id));
    const second = await operate<Page<ApiTokenView>>(
      url,
      token,
      'GET',
      `${routes.tokens}?limit=2&cursor=${first.nextCursor}`,
    );
    expect(second.items.map(({ name }) => name)).toEqual(['two', 'one']);
  });

  it('is filtered, and refuses a filter that is none', async () => {
    await operate(url, token, 'POST', routes.invitations, { name: 'pending' });
    const active = await listAll<OrganisationView>(url, token, routes.organisations);
    expect(active).toHaveLength(names.length);
    const none = await operate<Page<OrganisationView>>(url, token, 'GET', `${routes.organisations}?status=pending`);
    expect(none).toEqual({ items: [], nextCursor: null });
    expect(await problemOf(await send(url, 'GET', `${routes.runs}?status=asleep`, token))).toEqual([
      400,
      'request/invalid',
    ]);
  });
});

describe('an entity tag', () => {
  it('spares reading again what has not changed', async () => {
    const first = await send(url, 'GET', routes.users, token);
    const etag = first.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[\w-]{27}"$/);
    // Unless told, fetch asks everybody on the way not to answer from a cache.
    const known = { 'if-none-match': etag, 'cache-control': 'max-age=0' };
    const again = await send(url, 'GET', routes.users, token, undefined, known);
    expect([again.status, await again.text()]).toEqual([304, '']);
    await operate(url, token, 'POST', routes.users, { name: 'another', role: 'viewer' });
    expect((await send(url, 'GET', routes.users, token, undefined, known)).status).toBe(200);
  });

  it('keeps a change from undoing another that its author has not seen', async () => {
    const { user } = await operate<SetupLinkView>(url, token, 'POST', routes.users, {
      name: 'contested',
      role: 'viewer',
    });
    const path = routes.user(user.id);
    const seen = (await send(url, 'GET', path, token)).headers.get('etag') ?? '';
    const change = (body: object, ifMatch: string): Promise<Response> =>
      send(url, 'PATCH', path, token, body, { 'if-match': ifMatch });
    const changed = await change({ role: 'operator' }, seen);
    expect((await json<UserView>(changed)).role).toBe('operator');
    expect(await problemOf(await change({ role: 'admin' }, seen))).toEqual([412, 'request/changed']);
    expect((await operate<UserView>(url, token, 'GET', path)).role).toBe('operator');
    // The answer of a change has the tag for the next one.
    expect((await change({ role: 'viewer' }, changed.headers.get('etag') ?? '')).status).toBe(200);
  });
});

describe('a write with an idempotency key', () => {
  const create = (key: string, name: string): Promise<Response> =>
    send(url, 'POST', routes.tokens, token, { name, permissions: ['runs.read'] }, { 'idempotency-key': key });

  it('is done once: the same request again gets the first answer, another request is refused', async () => {
    const key = 'key-of-the-first-test';
    const first = await create(key, 'once');
    const again = await create(key, 'once');
    expect([first.status, again.status]).toEqual([201, 201]);
    expect([first.headers.get('idempotency-replayed'), again.headers.get('idempotency-replayed')]).toEqual([
      null,
      'true',
    ]);
    const { token: secret } = await json<NewApiToken>(first);
    expect((await json<NewApiToken>(again)).token).toBe(secret);
    expect((await listAll<ApiTokenView>(url, token, routes.tokens)).filter(({ name }) => name === 'once')).toHaveLength(
      1,
    );
    expect(await problemOf(await create(key, 'twice'))).toEqual([422, 'request/key-reused']);
    // The answer is stored so that the database alone does not tell the token.
    expect((await databaseContent(folder)).includes(secret)).toBe(false);
  });

  it('is done anew with the key of somebody else, after a refusal, and after a day', async () => {
    const key = 'key-of-the-second-test';
    const { token: other } = await operate<NewApiToken>(url, token, 'POST', routes.tokens, {
      name: 'other',
      permissions: ['tokens.manage', 'runs.read'],
    });
    const body = { name: 'shared', permissions: ['runs.read'] };
    const mine = await json<NewApiToken>(
      await send(url, 'POST', routes.tokens, token, body, { 'idempotency-key': key }),
    );
    const theirs = await json<NewApiToken>(
      await send(url, 'POST', routes.tokens, other, body, { 'idempotency-key': key }),
    );
    expect(theirs.id).not.toBe(mine.id);
    const taken = { 'idempotency-key': 'key-of-a-refused-request' };
    expect((await send(url, 'POST', routes.users, token, { name: 'admin', role: 'viewer' }, taken)).status).toBe(409);
    expect((await send(url, 'POST', routes.users, token, { name: 'not-admin', role: 'viewer' }, taken)).status).toBe(
      201,
    );
    now += 24 * 3600_000;
    const later = await json<NewApiToken>(
      await send(url, 'POST', routes.tokens, token, body, { 'idempotency-key': key }),
    );
    expect(later.id).not.toBe(mine.id);
  });

  it('is refused while it is being done, when its key is none, and when the process ended in the middle of it', async () => {
    expect(await problemOf(await create('short', 'x'))).toEqual([400, 'request/invalid']);
    const db = await openDatabase(await aDatabase());
    const request = { scope: 'user 1 POST /x', key: 'key-of-the-third-test', content: '{}' };
    const idempotency = new Idempotency(db, () => now);
    let finish: (value: string) => void = () => undefined;
    const first = idempotency.once(request, () => new Promise<string>((resolve) => (finish = resolve)));
    const again = idempotency.once(request, () => Promise.resolve('twice'));
    await expect(again).rejects.toMatchObject({ code: 'request/in-progress' });
    await vi.waitUntil(async () => (await db.selectFrom('idempotency').selectAll().execute()).length === 1);
    // Another process on the same database: what the first was doing when it ended.
    const next = new Idempotency(db, () => now);
    await expect(next.once(request, () => Promise.resolve('twice'))).rejects.toMatchObject({
      code: 'request/outcome-unknown',
    });
    finish('once');
    expect(await first).toEqual({ answer: 'once', isReplay: false });
    expect(await next.once(request, () => Promise.resolve('twice'))).toEqual({ answer: 'once', isReplay: true });
    await db.destroy();
  });
});
