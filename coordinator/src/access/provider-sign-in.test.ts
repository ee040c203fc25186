import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CSRF_HEADER,
  routes,
  type AuditLine,
  type MeView,
  type ProviderRedirect,
  type SignInWays,
  type UserView,
} from '@fedlora/shared';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeFederation } from '../../../test/support/fake-federation.js';
import { becomeFirstAdmin, type FirstAdmin } from '../../../test/support/first-admin.js';
import { CLIENT_ID, CLIENT_SECRET, TestIdentityProvider } from '../../../test/support/identity-provider.js';
import { json, listAll, operate, send } from '../../../test/support/requests.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';
import { userNameOf } from './identity-provider.js';
import { DEFAULT_RATES } from './rate-limits.js';

const MINUTE = 60_000;
/** Where the provider sends browsers; nobody listens there in this test. */
const PUBLIC_URL = 'http://127.0.0.1:7400';

let folder: string;
let provider: TestIdentityProvider;
let coordinator: RunningCoordinator;
let url: string;
let admin: FirstAdmin;
/** The coordinator's clock is the machine's, and this much. */
let ahead = 0;
const federation = new FakeFederation();

const oidc = (changes: object = {}) => ({
  issuer: provider.issuer,
  publicUrl: PUBLIC_URL,
  clientId: CLIENT_ID,
  clientSecret: CLIENT_SECRET,
  roles: { 'fl-viewers': 'viewer', 'fl-operators': 'operator', 'fl-admins': 'admin' } as const,
  roleClaim: 'groups',
  nameClaim: 'preferred_username',
  scope: 'openid profile',
  label: 'Example Login',
  ...changes,
});

/** Runs `use` against a coordinator of its own. */
async function withCoordinator(
  settings: object,
  offsetMs: number,
  use: (other: RunningCoordinator) => Promise<void>,
): Promise<void> {
  const other = await mkdtemp(join(tmpdir(), 'fedlora-oidc-'));
  const started = await start(other, settings, () => Date.now() + offsetMs);
  await use(started).finally(async () => {
    await started.close();
    await rm(other, { recursive: true, force: true });
  });
}

function start(dataFolder: string, settings: object, now: () => number): Promise<RunningCoordinator> {
  const { federationKey } = federation;
  const rates = { ...DEFAULT_RATES, secrets: { burst: 1000, perSecond: 1000 } };
  return startCoordinator(
    {
      dataFolder,
      host: '127.0.0.1',
      port: 0,
      logLevel: 'silent',
      trustedProxies: ['loopback'],
      federationKey,
      ...settings,
    },
    { now, rates },
  );
}

beforeAll(async () => {
  provider = await TestIdentityProvider.start(`${PUBLIC_URL}/signed-in`);
  folder = await mkdtemp(join(tmpdir(), 'fedlora-oidc-'));
  coordinator = await start(folder, { oidc: oidc() }, () => Date.now() + ahead);
  url = coordinator.url;
  admin = await becomeFirstAdmin(url, coordinator.setupToken ?? '');
});
afterAll(async () => {
  await coordinator.close();
  await provider.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  provider.accounts.set('id-ada', { preferred_username: 'Ada', groups: ['staff', 'fl-operators'] });
});
afterEach(() => {
  provider.tamper = undefined;
});

interface Begun {
  readonly url: string;
  readonly cookie: string;
}

/** What the sign-in page does when its button is pressed. */
async function begin(at = url): Promise<Begun> {
  const answer = await send(at, 'POST', routes.providerSignIn);
  const cookie = (answer.headers.get('set-cookie') ?? '').split(';')[0];
  return { url: (await json<ProviderRedirect>(answer)).url, cookie };
}

/** What the dashboard does when the browser comes back. */
function finish(query: string, cookie: string | undefined, at = url): Promise<Response> {
  return send(at, 'POST', routes.providerAnswer, undefined, { query }, cookie === undefined ? {} : { cookie });
}

async function signInAs(login: string, at = url): Promise<Response> {
  const begun = await begin(at);
  return finish(await provider.answer(begun.url, login), begun.cookie, at);
}

async function refusal(response: Response): Promise<[number, string, string]> {
  const { code, detail } = JSON.parse(await response.text()) as { code: string; detail: string };
  return [response.status, code, detail];
}

async function newestAudit(count: number): Promise<AuditLine['entry'][]> {
  return (await listAll<AuditLine>(url, admin.token, routes.audit)).slice(0, count).map(({ entry }) => entry);
}

async function userNamed(name: string): Promise<UserView | undefined> {
  return (await listAll<UserView>(url, admin.token, routes.users)).find((user) => user.name === name);
}

describe('a sign-in with the identity provider', () => {
  it('is offered beside the password where one is configured', async () => {
    expect(await json<SignInWays>(await send(url, 'GET', routes.signIn))).toEqual({ provider: 'Example Login' });
    await withCoordinator({}, 0, async (other) => {
      expect(await json<SignInWays>(await send(other.url, 'GET', routes.signIn))).toEqual({ provider: null });
      expect((await refusal(await send(other.url, 'POST', routes.providerSignIn))).slice(0, 2)).toEqual([
        404,
        'access/no-provider',
      ]);
      expect((await refusal(await finish('code=a&state=b', undefined, other.url)))[1]).toBe('access/no-provider');
    });
  });

  it('sends the browser to the provider with PKCE, a state and a nonce, and keeps what belongs to them', async () => {
    const answer = await send(url, 'POST', routes.providerSignIn);
    expect(answer.headers.get('set-cookie')).toMatch(
      /^fedlora-flow=[\w-]{43}; Max-Age=600; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Strict$/,
    );
    const tls = await send(url, 'POST', routes.providerSignIn, undefined, undefined, { 'x-forwarded-proto': 'https' });
    expect(tls.headers.get('set-cookie')).toMatch(/^__Host-fedlora-flow=.*; HttpOnly; Secure; SameSite=Strict$/);
    const { searchParams, origin } = new URL((await json<ProviderRedirect>(answer)).url);
    expect(origin).toBe(provider.issuer);
    expect(Object.fromEntries(searchParams)).toEqual({
      client_id: CLIENT_ID,
      response_type: 'code',
      redirect_uri: `${PUBLIC_URL}/signed-in`,
      scope: 'openid profile',
      code_challenge_method: 'S256',
      code_challenge: expect.stringMatching(/^[\w-]{43}$/) as string,
      state: expect.stringMatching(/^[\w-]{43}$/) as string,
      nonce: expect.stringMatching(/^[\w-]{43}$/) as string,
    });
  });

  it('makes the user at the first time, without a password and with the role of the claim, and signs in', async () => {
    const answer = await signInAs('id-ada');
    const cookies = answer.headers.getSetCookie();
    const me = await json<MeView>(answer);
    expect(me).toMatchObject({ kind: 'user', name: 'ada', runs: null, hasSecondFactor: false });
    expect(me.permissions).toContain('runs.manage');
    expect(me.permissions).not.toContain('users.manage');
    expect(cookies.some((cookie) => /^fedlora-flow=; Path=\/; Expires=Thu, 01 Jan 1970/.test(cookie))).toBe(true);
    const cookie = (cookies.find((one) => one.startsWith('fedlora=')) ?? '').split(';')[0];
    const headers = { cookie, [CSRF_HEADER]: me.csrfToken ?? '' };
    expect((await send(url, 'POST', routes.invitations, undefined, { name: 'clinic' }, headers)).status).toBe(201);
    expect(await userNamed('ada')).toMatchObject({ role: 'operator', hasPassword: false, fromProvider: true });
    const [, signedIn, created] = await newestAudit(3);
    expect(signedIn).toMatchObject({ event: 'user.signed-in', actor: { kind: 'user', name: 'ada' } });
    expect(created).toMatchObject({
      event: 'user.created',
      actor: { kind: 'user', name: 'ada' },
      details: { name: 'ada', issuer: provider.issuer },
      after: { role: 'operator', runs: null, disabled: false },
    });
  });

  it('follows the claim: the role of the next sign-in is what the provider says then, the greatest of several', async () => {
    const first = await json<MeView>(await signInAs('id-ada'));
    provider.accounts.set('id-ada', { preferred_username: 'Ada', groups: ['fl-viewers', 'fl-admins', 'fl-operators'] });
    const second = await json<MeView>(await signInAs('id-ada'));
    expect(second.id).toBe(first.id);
    expect(second.permissions).toContain('users.manage');
    expect((await newestAudit(2))[1]).toMatchObject({
      event: 'user.changed',
      before: { role: 'operator' },
      after: { role: 'admin' },
    });
    // Whoever is called otherwise by now is the same user still.
    provider.accounts.set('id-ada', { preferred_username: 'Ada L', groups: 'fl-viewers' });
    expect(await json<MeView>(await signInAs('id-ada'))).toMatchObject({ id: first.id, name: 'ada' });
    expect(await userNamed('ada')).toMatchObject({ role: 'viewer' });
  });

  it('reads a role from within objects, and takes a claim of the ID token before the provider’s other word', async () => {
    provider.accounts.set('id-deep', { preferred_username: 'deep', groups: ['fl-admins'] });
    provider.tamper = (claims) => ({ ...claims, realm: { roles: ['fl-viewers'] }, preferred_username: 'deep-token' });
    await withCoordinator({ oidc: oidc({ roleClaim: 'realm.roles' }) }, 0, async (other) => {
      const me = await json<MeView>(await signInAs('id-deep', other.url));
      expect(me.name).toBe('deep-token');
      expect(me.permissions).not.toContain('runs.manage');
    });
  });

  it.each([
    ['without the claim', { preferred_username: 'nobody' }],
    ['with values that are not mapped', { preferred_username: 'nobody', groups: ['staff', 'FL-ADMINS'] }],
    ['with values that every object has', { preferred_username: 'nobody', groups: ['constructor', 'toString'] }],
    ['with a claim of another type', { preferred_username: 'nobody', groups: { 'fl-admins': true } }],
  ])('is refused %s, and nobody becomes a user', async (_what, claims) => {
    provider.accounts.set('id-nobody', claims);
    const [status, code, detail] = await refusal(await signInAs('id-nobody'));
    expect([status, code]).toEqual([403, 'access/no-role']);
    expect(detail).toContain('groups');
    expect(await userNamed('nobody')).toBeUndefined();
    expect((await newestAudit(1))[0]).toMatchObject({
      event: 'user.sign-in.refused',
      actor: { kind: 'anonymous' },
      address: '127.0.0.1',
      details: { code: 'access/no-role', subject: 'id-nobody', issuer: provider.issuer },
    });
  });

  it('that no role comes of any more ends the sign-ins that are still open', async () => {
    const opened = await signInAs('id-ada');
    const cookie = opened.headers.getSetCookie().find((one) => one.startsWith('fedlora=')) ?? '';
    const headers = { cookie: cookie.split(';')[0] };
    expect((await send(url, 'GET', routes.me, undefined, undefined, headers)).status).toBe(200);
    provider.accounts.set('id-ada', { preferred_username: 'Ada', groups: [] });
    expect((await refusal(await signInAs('id-ada')))[1]).toBe('access/no-role');
    expect((await send(url, 'GET', routes.me, undefined, undefined, headers)).status).toBe(401);
    expect(await newestAudit(2)).toMatchObject([
      { event: 'user.signed-out', details: { name: 'ada', all: true } },
      { event: 'user.sign-in.refused', details: { code: 'access/no-role', subject: 'id-ada' } },
    ]);
  });

  it('does not make anybody somebody else: a name that is taken here is refused, and so is a disabled user', async () => {
    provider.accounts.set('id-impostor', { preferred_username: 'ADMIN', groups: ['fl-admins'] });
    expect((await refusal(await signInAs('id-impostor'))).slice(0, 2)).toEqual([409, 'access/name-taken']);
    const { id } = await json<MeView>(await signInAs('id-ada'));
    await operate(url, admin.token, 'PATCH', routes.user(id), { disabled: true });
    expect((await refusal(await signInAs('id-ada'))).slice(0, 2)).toEqual([403, 'access/user-disabled']);
    await operate(url, admin.token, 'PATCH', routes.user(id), { disabled: false });
    expect((await signInAs('id-ada')).status).toBe(200);
  });

  it('leaves no second way in: no link sets a password, no password opens, and only the provider changes the role', async () => {
    const { id } = await json<MeView>(await signInAs('id-ada'));
    expect((await refusal(await send(url, 'POST', routes.userLink(id), admin.token, {}))).slice(0, 2)).toEqual([
      409,
      'access/provider-user',
    ]);
    const change = { role: 'admin' };
    expect((await refusal(await send(url, 'PATCH', routes.user(id), admin.token, change)))[1]).toBe(
      'access/provider-user',
    );
    const scoped = await operate<UserView>(url, admin.token, 'PATCH', routes.user(id), { runs: ['run-1'] });
    expect(scoped).toMatchObject({ role: 'operator', runs: ['run-1'] });
    // The scope is the coordinator's, and stays at the next sign-in.
    expect((await json<MeView>(await signInAs('id-ada'))).runs).toEqual(['run-1']);
    const local = await send(url, 'POST', routes.signIn, undefined, { name: 'ada', password: 'any password at all' });
    expect((await refusal(local))[1]).toBe('access/wrong-credentials');
  });
});

describe('an administrator by the identity provider', () => {
  it('spares the link for the first one as long as that provider is configured', async () => {
    const other = await mkdtemp(join(tmpdir(), 'fedlora-oidc-'));
    provider.accounts.set('id-root', { preferred_username: 'root', groups: ['fl-admins'] });
    const first = await start(other, { oidc: oidc() }, Date.now);
    expect(first.setupToken).toBeDefined();
    const me = await json<MeView>(await signInAs('id-root', first.url));
    expect(me.permissions).toContain('users.manage');
    await first.close();
    for (const [settings, isAsked] of [
      [{ oidc: oidc() }, false],
      [{ oidc: oidc({ issuer: 'https://login.example.org' }) }, true],
      [{}, true],
    ] as const) {
      const again = await start(other, settings, Date.now);
      expect(again.setupToken !== undefined).toBe(isAsked);
      await again.close();
    }
    await rm(other, { recursive: true, force: true });
  });
});

describe('an answer of the provider', () => {
  it('is good once, in the browser that began, with its state, and for ten minutes', async () => {
    const begun = await begin();
    const query = await provider.answer(begun.url, 'id-ada');
    const spent = [403, 'access/sign-in-spent'];
    const asked = provider.tokenRequests;
    expect((await refusal(await finish(query, undefined))).slice(0, 2)).toEqual(spent);
    expect((await refusal(await finish(query, `fedlora-flow=${'x'.repeat(43)}`))).slice(0, 2)).toEqual(spent);
    const other = await begin();
    expect((await refusal(await finish(query, other.cookie))).slice(0, 2)).toEqual(spent);
    expect(provider.tokenRequests).toBe(asked);
    expect((await finish(query, begun.cookie)).status).toBe(200);
    expect((await refusal(await finish(query, begun.cookie))).slice(0, 2)).toEqual(spent);
    expect((await newestAudit(1))[0]).toMatchObject({
      event: 'user.sign-in.refused',
      details: { code: 'access/sign-in-spent' },
    });

    const late = await begin();
    const lateQuery = await provider.answer(late.url, 'id-ada');
    ahead += 10 * MINUTE;
    expect((await refusal(await finish(lateQuery, late.cookie))).slice(0, 2)).toEqual(spent);
    ahead -= 10 * MINUTE;
  });

  it('with a code of another sign-in is refused: the verifier is not its own', async () => {
    const [one, other] = [await begin(), await begin()];
    const stolen = new URLSearchParams(await provider.answer(one.url, 'id-ada'));
    const query = new URLSearchParams(await provider.answer(other.url, 'id-ada'));
    query.set('code', stolen.get('code') ?? '');
    const [status, code, detail] = await refusal(await finish(query.toString(), other.cookie));
    expect([status, code]).toEqual([403, 'access/provider-refused']);
    expect(detail).toContain('invalid_grant');
  });

  it('that is a refusal is told in our words, and its own are not passed on', async () => {
    const begun = await begin();
    const state = new URL(begun.url).searchParams.get('state') ?? '';
    const query = new URLSearchParams({
      error: 'access_denied',
      state,
      iss: provider.issuer,
      error_description: '<b>',
    });
    const [status, code, detail] = await refusal(await finish(query.toString(), begun.cookie));
    expect([status, code]).toEqual([403, 'access/provider-refused']);
    expect(detail).toBe('The identity provider answered: access_denied.');
  });

  it('that names another issuer in the address is refused before its code goes anywhere', async () => {
    const begun = await begin();
    const query = new URLSearchParams(await provider.answer(begun.url, 'id-ada'));
    query.set('iss', 'https://evil.example');
    const asked = provider.tokenRequests;
    expect((await refusal(await finish(query.toString(), begun.cookie)))[1]).toBe('access/provider-answer');
    expect(provider.tokenRequests).toBe(asked);
  });

  const HOUR = 3600;
  it.each<[string, string, (claims: Readonly<Record<string, unknown>>) => Record<string, unknown>]>([
    ['of another issuer', 'iss', (claims) => ({ ...claims, iss: 'https://evil.example' })],
    ['for another client', 'aud', (claims) => ({ ...claims, aud: 'another-client' })],
    ['with another nonce', 'nonce', (claims) => ({ ...claims, nonce: 'x'.repeat(43) })],
    ['without a nonce', 'nonce', ({ nonce: _nonce, ...claims }) => claims],
    ['that has expired', 'exp', (claims) => ({ ...claims, exp: Number(claims.iat) - 31 })],
    ['of the future', 'iat', (claims) => ({ ...claims, iat: Number(claims.iat) + 40, exp: Number(claims.exp) + HOUR })],
  ])('with a token %s is refused, by the name of the claim', async (_what, claim, tamper) => {
    provider.tamper = tamper;
    const [status, code, detail] = await refusal(await signInAs('id-ada'));
    expect([status, code]).toEqual([403, 'access/provider-answer']);
    expect(detail).toContain(`"${claim}"`);
    expect((await newestAudit(1))[0]).toMatchObject({
      event: 'user.sign-in.refused',
      details: { code: 'access/provider-answer', reason: detail },
    });
    // What was tampered with was the only thing wrong.
    provider.tamper = (claims) => claims;
    expect((await signInAs('id-ada')).status).toBe(200);
  });

  it('with a token that another key signed is refused', async () => {
    const { signingKey } = provider;
    provider.tamper = (claims) => claims;
    provider.signingKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    expect((await refusal(await signInAs('id-ada')))[1]).toBe('access/provider-answer');
    provider.signingKey = signingKey;
  });

  it('is refused where the clocks are further apart than 30 seconds and the token lasts, and not where they are nearer', async () => {
    for (const [offset, status] of [
      [2 * HOUR * 1000, 403],
      [-MINUTE, 403],
      [20_000, 200],
      [-20_000, 200],
    ])
      await withCoordinator({ oidc: oidc() }, offset, async (other) => {
        expect((await signInAs('id-ada', other.url)).status, `${offset} ms`).toBe(status);
      });
  });
});

describe('a provider that does not answer', () => {
  it('keeps nobody from starting or from signing in with a password, and is asked again at the next try', async () => {
    const gone = oidc({ issuer: 'http://127.0.0.1:9' });
    await withCoordinator({ oidc: gone }, 0, async (other) => {
      const try1 = await refusal(await send(other.url, 'POST', routes.providerSignIn));
      expect(try1.slice(0, 2)).toEqual([503, 'access/provider-unreachable']);
      expect((await becomeFirstAdmin(other.url, other.setupToken ?? '')).me.name).toBe('admin');
    });
  });

  it('with the wrong secret of ours is refused by it', async () => {
    await withCoordinator({ oidc: oidc({ clientSecret: 'wrong' }) }, 0, async (other) => {
      const [, code, detail] = await refusal(await signInAs('id-ada', other.url));
      expect([code, detail]).toEqual(['access/provider-refused', 'The identity provider answered: invalid_client.']);
    });
  });
});

describe('userNameOf', () => {
  it.each([
    ['Ada', 'ada'],
    ['ada@Example.org', 'ada-example.org'],
    ['Ada  Lovelace', 'ada-lovelace'],
    ['--Ä--', ''],
    [`${'a'.repeat(63)}.b`, 'a'.repeat(63)],
  ])('makes of "%s" the name "%s"', (given, name) => expect(userNameOf(given)).toBe(name));
});
