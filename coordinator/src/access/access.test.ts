import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CSRF_HEADER,
  routes,
  verifyAuditLines,
  type ApiTokenView,
  type AuditLine,
  type MeView,
  type NewApiToken,
  type NewUser,
  type RecoveryCodes,
  type SetupLinkView,
  type SignInView,
  type TotpOffer,
  type UserView,
} from '@fedlora/shared';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { databaseContent } from '../../../test/support/database.js';
import { FakeFederation, FakeOrganisation } from '../../../test/support/fake-federation.js';
import { becomeFirstAdmin, signIn, type FirstAdmin, type SignedIn } from '../../../test/support/first-admin.js';
import { json, listAll, operate, send } from '../../../test/support/requests.js';
import { createAdminLink } from '../admin-link.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';
import { DEFAULT_RATES } from './rate-limits.js';
import { totpCode } from './totp.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const PASSWORD = 'correct horse battery';

let folder: string;
let coordinator: RunningCoordinator;
let url: string;
let admin: FirstAdmin;
let setupToken: string;
const federation = new FakeFederation();
/** The coordinator's clock, which tests move forward. */
let now = Date.now();
const config = () => ({
  dataFolder: folder,
  host: '127.0.0.1',
  port: 0,
  logLevel: 'silent' as const,
  trustedProxies: ['loopback'],
  federationKey: federation.federationKey,
});
const overrides = { now: () => now, sessionMs: 10 * MINUTE };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-access-'));
  coordinator = await startCoordinator(config(), overrides);
  url = coordinator.url;
  setupToken = coordinator.setupToken ?? '';
  admin = await becomeFirstAdmin(url, setupToken);
});
afterAll(async () => {
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  now += 10 * MINUTE; // The buckets of tries are full again.
});

async function refusal(response: Response): Promise<[number, string]> {
  const { code } = JSON.parse(await response.text()) as { code: string };
  return [response.status, code];
}

async function refusalOfSignIn(name: string, password: string, code?: string): Promise<[number, string]> {
  return refusal(
    await send(url, 'POST', routes.signIn, undefined, { name, password, ...(code === undefined ? {} : { code }) }),
  );
}

/** A user with a password. */
async function newUser(request: NewUser): Promise<UserView> {
  const { user, token } = await operate<SetupLinkView>(url, admin.token, 'POST', routes.users, request);
  await json(await send(url, 'POST', routes.setup, undefined, { token, password: PASSWORD }));
  return user;
}

function as({ headers }: SignedIn, method: string, path: string, body?: object): Promise<Response> {
  return send(url, method, path, undefined, body, headers);
}

describe('the first administrator', () => {
  it('sets a password with the link of the first start, once', async () => {
    expect(admin.me).toMatchObject({ kind: 'user', name: 'admin', runs: null, hasSecondFactor: false });
    const again = await send(url, 'POST', routes.setup, undefined, { token: setupToken, password: PASSWORD });
    expect(await refusal(again)).toEqual([403, 'access/link-spent']);
  });

  it('cannot be disabled or demoted as long as there is no other', async () => {
    const path = routes.user(admin.me.id);
    for (const change of [{ role: 'operator' }, { disabled: true }, { runs: ['run-1'] }])
      expect(await refusal(await send(url, 'PATCH', path, admin.token, change))).toEqual([409, 'access/last-admin']);
    expect(await operate<UserView>(url, admin.token, 'GET', path)).toMatchObject({ role: 'admin', disabled: false });
  });

  it('is asked for again, with a fresh link, while nobody has a password; and by who holds the folder of a stopped coordinator', async () => {
    const other = await mkdtemp(join(tmpdir(), 'fedlora-access-'));
    const settings = { ...config(), dataFolder: other };
    const first = await startCoordinator(settings);
    await expect(createAdminLink(settings)).rejects.toMatchObject({ code: 'data-folder/locked' });
    await first.close();
    const second = await startCoordinator(settings);
    const spent = await send(second.url, 'POST', routes.setup, undefined, {
      token: first.setupToken,
      password: PASSWORD,
    });
    expect(await refusal(spent)).toEqual([403, 'access/link-spent']);
    await becomeFirstAdmin(second.url, second.setupToken ?? '');
    await second.close();
    const link = await createAdminLink(settings);
    const third = await startCoordinator(settings);
    expect(third.setupToken).toBeUndefined();
    expect((await send(third.url, 'POST', routes.setup, undefined, { token: link, password: PASSWORD })).status).toBe(
      204,
    );
    expect((await signIn(third.url, 'admin', PASSWORD)).me.name).toBe('admin');
    await third.close();
    await rm(other, { recursive: true, force: true });
  });
});

describe('a password', () => {
  it.each([
    ['eleven-char', 'eve-a'],
    ['aaaaaaaaaaaaaaaa', 'eve-b'],
    ['Eve-The-Second', 'eve-the-second'],
  ])('is not "%s"', async (weak, name) => {
    const { token } = await operate<SetupLinkView>(url, admin.token, 'POST', routes.users, { name, role: 'viewer' });
    const answer = await send(url, 'POST', routes.setup, undefined, { token, password: weak });
    expect(await refusal(answer)).toEqual([422, 'access/weak-password']);
    // The link is still good for a better one.
    expect((await send(url, 'POST', routes.setup, undefined, { token, password: PASSWORD })).status).toBe(204);
  });

  it('is stored as argon2id, and tokens and cookies as hashes: the database has none of them', async () => {
    await newUser({ name: 'stored', role: 'viewer' });
    const { headers } = await signIn(url, 'stored', PASSWORD);
    const bytes = await databaseContent(folder);
    expect(bytes.includes('$argon2id$v=19$m=19456,t=2,p=1$')).toBe(true);
    for (const secret of [PASSWORD, admin.password, admin.token, headers.cookie.split('=')[1], headers[CSRF_HEADER]])
      expect(bytes.includes(secret)).toBe(false);
  });

  it('that is changed ends the other sign-ins, and asks for the old one', async () => {
    await newUser({ name: 'changer', role: 'viewer' });
    const [here, there] = [await signIn(url, 'changer', PASSWORD), await signIn(url, 'changer', PASSWORD)];
    const wrong = await as(here, 'PUT', routes.myPassword, { password: 'not it', newPassword: `new ${PASSWORD}` });
    expect(await refusal(wrong)).toEqual([401, 'access/wrong-credentials']);
    expect(
      (await as(here, 'PUT', routes.myPassword, { password: PASSWORD, newPassword: `new ${PASSWORD}` })).status,
    ).toBe(204);
    expect((await as(here, 'GET', routes.me)).status).toBe(200);
    expect((await as(there, 'GET', routes.me)).status).toBe(401);
    expect(await refusalOfSignIn('changer', PASSWORD)).toEqual([401, 'access/wrong-credentials']);
  });
});

describe('wrong tries', () => {
  it('lock a name after five, longer each time, whether a user has it or not; a right password opens it only afterwards', async () => {
    await newUser({ name: 'locked', role: 'viewer' });
    now += MINUTE;
    for (const name of ['locked', 'nobody']) {
      for (let i = 0; i < 5; i += 1)
        expect(await refusalOfSignIn(name, 'wrong')).toEqual([401, 'access/wrong-credentials']);
      const locked = await send(url, 'POST', routes.signIn, undefined, { name, password: PASSWORD });
      expect(locked.headers.get('retry-after')).toBe('60');
      expect(await refusal(locked)).toEqual([429, 'access/locked']);
      now += MINUTE;
      expect(await refusalOfSignIn(name, 'wrong')).toEqual([401, 'access/wrong-credentials']);
      now += MINUTE;
      expect(await refusalOfSignIn(name, PASSWORD)).toEqual([429, 'access/locked']);
      now += MINUTE;
    }
    expect((await signIn(url, 'locked', PASSWORD)).me.name).toBe('locked');
    // A success forgets the failures.
    now += MINUTE;
    for (let i = 0; i < 4; i += 1) await refusalOfSignIn('locked', 'wrong');
    expect((await signIn(url, 'locked', PASSWORD)).me.name).toBe('locked');
  });

  it('are few for each address, whatever the names; the address is the one that a trusted proxy names', async () => {
    let tries = 0;
    const attempt = (address: string): Promise<Response> => {
      const credentials = { name: `name-${(tries += 1)}`, password: 'x' };
      return send(url, 'POST', routes.signIn, undefined, credentials, { 'x-forwarded-for': address });
    };
    const answers = [];
    for (let i = 0; i <= DEFAULT_RATES.secrets.burst; i += 1) answers.push((await attempt('203.0.113.9')).status);
    expect(answers.slice(0, -1).every((status) => status === 401)).toBe(true);
    expect(answers.at(-1)).toBe(429);
    expect((await attempt('203.0.113.10')).status).toBe(401);
    now += 5000;
    expect((await attempt('203.0.113.9')).status).toBe(401);
  });

  it('are recorded with the address they came from', async () => {
    await send(
      url,
      'POST',
      routes.signIn,
      undefined,
      { name: 'ghost', password: 'x' },
      { 'x-forwarded-for': '203.0.113.77' },
    );
    const [line] = await listAll<AuditLine>(url, admin.token, routes.audit);
    expect(line.entry).toMatchObject({
      event: 'user.sign-in.refused',
      actor: { kind: 'anonymous' },
      address: '203.0.113.77',
      details: { name: 'ghost', failures: 1 },
    });
  });
});

describe('a second factor', () => {
  it('is asked for once a code confirmed it; each code and each recovery code opens once', async () => {
    await newUser({ name: 'careful', role: 'operator' });
    const user = await signIn(url, 'careful', PASSWORD);
    expect((await as(user, 'POST', routes.myTotp, { password: 'wrong' })).status).toBe(401);
    const { secret } = await json<TotpOffer>(await as(user, 'POST', routes.myTotp, { password: PASSWORD }));
    // Nothing is asked for before the confirmation.
    expect((await signIn(url, 'careful', PASSWORD)).me.hasSecondFactor).toBe(false);
    const code = (): string => totpCode(fromBase32(secret), Math.floor(now / 30_000));
    const wrongCode = String((Number(code()) + 1) % 1_000_000).padStart(6, '0');
    expect((await as(user, 'POST', routes.myTotpConfirmation, { code: wrongCode })).status).toBe(401);
    const { recoveryCodes } = await json<RecoveryCodes>(
      await as(user, 'POST', routes.myTotpConfirmation, { code: code() }),
    );
    expect(recoveryCodes).toHaveLength(10);

    expect(await refusalOfSignIn('careful', PASSWORD)).toEqual([401, 'access/second-factor-required']);
    // The code that confirmed does not open as well.
    expect(await refusalOfSignIn('careful', PASSWORD, code())).toEqual([401, 'access/wrong-credentials']);
    now += MINUTE;
    expect((await signIn(url, 'careful', PASSWORD, code())).me.hasSecondFactor).toBe(true);
    expect(await refusalOfSignIn('careful', PASSWORD, code())).toEqual([401, 'access/wrong-credentials']);
    expect((await signIn(url, 'careful', PASSWORD, recoveryCodes[3])).me.name).toBe('careful');
    expect(await refusalOfSignIn('careful', PASSWORD, recoveryCodes[3])).toEqual([401, 'access/wrong-credentials']);
  });

  it('is taken away with the password, or by an administrator’s link', async () => {
    await newUser({ name: 'loser', role: 'viewer' });
    const user = await signIn(url, 'loser', PASSWORD);
    const confirm = async (): Promise<void> => {
      const { secret } = await json<TotpOffer>(await as(user, 'POST', routes.myTotp, { password: PASSWORD }));
      const code = totpCode(fromBase32(secret), Math.floor(now / 30_000));
      await json(await as(user, 'POST', routes.myTotpConfirmation, { code }));
    };
    await confirm();
    expect(await refusal(await as(user, 'POST', routes.myTotp, { password: PASSWORD }))).toEqual([
      409,
      'access/second-factor-state',
    ]);
    expect((await as(user, 'POST', routes.myTotpRemoval, { password: PASSWORD })).status).toBe(204);
    expect((await signIn(url, 'loser', PASSWORD)).me.hasSecondFactor).toBe(false);
    now += MINUTE;
    await confirm();
    const link = { removeSecondFactor: true };
    const { token } = await operate<SetupLinkView>(url, admin.token, 'POST', routes.userLink(user.me.id), link);
    await json(await send(url, 'POST', routes.setup, undefined, { token, password: PASSWORD }));
    expect((await signIn(url, 'loser', PASSWORD)).me.name).toBe('loser');
    expect((await as(user, 'GET', routes.me)).status).toBe(401);
  });
});

describe('a sign-in', () => {
  beforeAll(async () => {
    await newUser({ name: 'ada', role: 'operator' });
  });

  it('is a cookie that no script reads, that no other site sends, and that goes over TLS only where there is TLS', async () => {
    const credentials = { name: 'ada', password: PASSWORD };
    const plain = await send(url, 'POST', routes.signIn, undefined, credentials);
    expect(plain.headers.get('set-cookie')).toMatch(
      /^fedlora=[\w-]{43}; Max-Age=43200; Path=\/; Expires=[^;]+; HttpOnly; SameSite=Strict$/,
    );
    const tls = await send(url, 'POST', routes.signIn, undefined, credentials, { 'x-forwarded-proto': 'https' });
    expect(tls.headers.get('set-cookie')).toMatch(/^__Host-fedlora=.*; HttpOnly; Secure; SameSite=Strict$/);
    expect(tls.headers.get('cache-control')).toBe('no-store');
  });

  it('changes nothing without the token of its page, which another sign-in’s is not', async () => {
    const [one, other] = [await signIn(url, 'ada', PASSWORD), await signIn(url, 'ada', PASSWORD)];
    for (const csrf of [undefined, '', other.headers[CSRF_HEADER]]) {
      const headers = { cookie: one.headers.cookie, ...(csrf === undefined ? {} : { [CSRF_HEADER]: csrf }) };
      const answer = await send(url, 'POST', routes.invitations, undefined, { name: 'forged' }, headers);
      expect(await refusal(answer)).toEqual([403, 'access/cross-site']);
    }
    expect((await as(one, 'GET', routes.overview)).status).toBe(200);
    expect((await as(one, 'POST', routes.invitations, { name: 'clinic' })).status).toBe(201);
  });

  it('ends after an hour without use, and after twelve hours whatever happens', async () => {
    const idle = await signIn(url, 'ada', PASSWORD);
    const busy = await signIn(url, 'ada', PASSWORD);
    now += HOUR - 1;
    expect((await as(busy, 'GET', routes.me)).status).toBe(200);
    now += 1;
    expect(await refusal(await as(idle, 'GET', routes.me))).toEqual([401, 'session/required']);
    for (let hours = 1; hours < 12; hours += 0.5) {
      expect((await as(busy, 'GET', routes.me)).status, `after ${hours} h`).toBe(200);
      now += HOUR / 2;
    }
    expect((await as(busy, 'GET', routes.me)).status).toBe(401);
  });

  it('is no longer good once it is ended: by signing out, from another one, or by an administrator', async () => {
    const [one, two, three] = [
      await signIn(url, 'ada', PASSWORD),
      await signIn(url, 'ada', PASSWORD),
      await signIn(url, 'ada', PASSWORD),
    ];
    expect((await as(one, 'DELETE', routes.signIn)).status).toBe(204);
    expect((await as(one, 'GET', routes.me)).status).toBe(401); // a replayed cookie
    const { items } = await json<{ items: SignInView[] }>(await as(two, 'GET', routes.mySignIns));
    const other = items.find(({ current }) => !current);
    expect(items.filter(({ current }) => current)).toHaveLength(1);
    expect((await as(two, 'DELETE', routes.mySignIn(other?.id ?? ''))).status).toBe(204);
    expect((await as(three, 'GET', routes.me)).status).toBe(401);
    expect((await as(two, 'DELETE', routes.mySignIn('nothing'))).status).toBe(404);
    expect((await send(url, 'DELETE', routes.userSignIns(two.me.id), admin.token)).status).toBe(204);
    expect((await as(two, 'GET', routes.me)).status).toBe(401);
  });

  it('is no longer good once its user is disabled; with a lesser role it can do less at once', async () => {
    const { id } = await newUser({ name: 'leaver', role: 'operator' });
    const user = await signIn(url, 'leaver', PASSWORD);
    await operate(url, admin.token, 'PATCH', routes.user(id), { role: 'viewer' });
    expect(await refusal(await as(user, 'POST', routes.invitations, { name: 'x' }))).toEqual([
      403,
      'session/not-allowed',
    ]);
    await operate(url, admin.token, 'PATCH', routes.user(id), { disabled: true });
    expect((await as(user, 'GET', routes.me)).status).toBe(401);
    expect(await refusalOfSignIn('leaver', PASSWORD)).toEqual([401, 'access/wrong-credentials']);
    const [line] = await listAll<AuditLine>(url, admin.token, `${routes.audit}`).then((all) =>
      all.filter(({ entry }) => entry.event === 'user.changed'),
    );
    expect(line.entry).toMatchObject({
      actor: { kind: 'token', name: 'everything' },
      before: { role: 'viewer', disabled: false },
      after: { role: 'viewer', disabled: true },
      requestId: expect.any(String) as string,
    });
  });

  it('opens the live namespace from its own page, which ends with it', async () => {
    const user = await signIn(url, 'ada', PASSWORD);
    const connect = (origin: string) =>
      io(`${url}/live`, {
        transports: ['websocket'],
        reconnection: false,
        forceNew: true,
        extraHeaders: { cookie: user.headers.cookie, origin },
      });
    const foreign = connect('https://evil.example');
    expect((await new Promise<Error>((resolve) => foreign.once('connect_error', resolve))).message).toBe(
      'session/required',
    );
    const socket = connect(url);
    await new Promise((resolve, reject) =>
      socket.once('connect', () => resolve(undefined)).once('connect_error', reject),
    );
    const ended = new Promise((resolve) => socket.once('disconnect', resolve));
    await as(user, 'DELETE', routes.signIn);
    expect(await ended).toBe('io server disconnect');
  });
});

describe('an API token', () => {
  const create = (request: object, token = admin.token): Promise<Response> =>
    send(url, 'POST', routes.tokens, token, request);

  it('does what its permissions say, until it expires; it is shown once', async () => {
    const token = await json<NewApiToken>(
      await create({ name: 'reader', permissions: ['runs.read'], lifetimeSeconds: 3600 }),
    );
    expect(token.token).toMatch(/^fedlora_[\w-]{43}$/);
    expect((await send(url, 'GET', routes.runs, token.token)).status).toBe(200);
    expect(await refusal(await send(url, 'GET', routes.organisations, token.token))).toEqual([
      403,
      'session/not-allowed',
    ]);
    const listed = (await listAll<ApiTokenView>(url, admin.token, routes.tokens)).find(({ id }) => id === token.id);
    expect(listed).toMatchObject({ name: 'reader', permissions: ['runs.read'], createdBy: 'admin', lastUsedAt: now });
    expect(JSON.stringify(listed)).not.toContain(token.token);
    now += HOUR;
    expect(await refusal(await send(url, 'GET', routes.runs, token.token))).toEqual([401, 'session/required']);
  });

  it('has no right that its maker does not have, now or later', async () => {
    const { id } = await newUser({ name: 'maker', role: 'operator' });
    const maker = await signIn(url, 'maker', PASSWORD);
    const beyond = await as(maker, 'POST', routes.tokens, { name: 'x', permissions: ['users.manage'] });
    expect(await refusal(beyond)).toEqual([403, 'access/beyond-own-rights']);
    const { token } = await json<NewApiToken>(
      await as(maker, 'POST', routes.tokens, { name: 'x', permissions: ['organisations.manage', 'runs.read'] }),
    );
    expect((await send(url, 'POST', routes.invitations, token, { name: 'x' })).status).toBe(201);
    await operate(url, admin.token, 'PATCH', routes.user(id), { role: 'viewer' });
    expect((await send(url, 'POST', routes.invitations, token, { name: 'x' })).status).toBe(403);
    expect((await send(url, 'GET', routes.runs, token)).status).toBe(200);
    await operate(url, admin.token, 'PATCH', routes.user(id), { disabled: true });
    expect((await send(url, 'GET', routes.runs, token)).status).toBe(401);
  });

  it('opens nothing once it is revoked; only its maker and administrators see and revoke it', async () => {
    await newUser({ name: 'stranger', role: 'operator' });
    const stranger = await signIn(url, 'stranger', PASSWORD);
    const token = await json<NewApiToken>(await create({ name: 'mine', permissions: ['runs.read'] }));
    expect(await refusal(await as(stranger, 'DELETE', routes.token(token.id)))).toEqual([404, 'access/unknown-token']);
    expect(await json<{ items: unknown[] }>(await as(stranger, 'GET', routes.tokens))).toMatchObject({ items: [] });
    expect((await send(url, 'DELETE', routes.token(token.id), admin.token)).status).toBe(204);
    expect((await send(url, 'GET', routes.runs, token.token)).status).toBe(401);
  });

  it('is limited to the runs of its scope, in lists as well, and to nothing of the federation', async () => {
    const { token } = await json<NewApiToken>(
      await create({
        name: 'scoped',
        permissions: ['runs.read', 'runs.manage', 'organisations.read', 'tokens.manage'],
        runs: ['run-a'],
      }),
    );
    const get = async (path: string): Promise<[number, string]> => refusal(await send(url, 'GET', path, token));
    expect(await get(routes.run('run-b'))).toEqual([403, 'access/wrong-scope']);
    expect(await get(routes.rounds('run-b'))).toEqual([403, 'access/wrong-scope']);
    expect(await get(routes.run('run-a'))).toEqual([404, 'run/unknown']);
    expect(await get(routes.tokens)).toEqual([403, 'access/wrong-scope']);
    expect(await refusal(await send(url, 'POST', routes.runStop('run-b'), token))).toEqual([403, 'access/wrong-scope']);
    expect(await operate<{ items: unknown[] }>(url, token, 'GET', routes.organisations)).toMatchObject({ items: [] });
    expect((await operate<MeView>(url, token, 'GET', routes.me)).runs).toEqual(['run-a']);
  });
});

describe('a client’s session', () => {
  const clinic = new FakeOrganisation('late-clinic');

  it('opens for certified organisations only', async () => {
    const { token } = await operate<{ token: string }>(url, admin.token, 'POST', routes.invitations, {
      name: clinic.name,
    });
    await clinic.enrol(url, token);
    await expect(clinic.signIn(url)).rejects.toThrow('session/pending');
    const certificate = federation.certificateOf(clinic);
    await operate(url, admin.token, 'POST', routes.organisationCertificate(clinic.name), { certificate });
    expect(await clinic.signIn(url)).toMatch(/^[\w-]{40,}$/);
  });

  it('ends when the client says so, or an operator, with the socket that it opened', async () => {
    const session = await clinic.signIn(url);
    expect((await send(url, 'DELETE', routes.session, session)).status).toBe(204);
    expect((await send(url, 'DELETE', routes.session, session)).status).toBe(401);
    await clinic.connect(url);
    const ended = clinic.untilDisconnected();
    expect((await send(url, 'DELETE', routes.organisationSessions(clinic.name), admin.token)).status).toBe(204);
    expect(await ended).toBe('io server disconnect');
    expect((await send(url, 'DELETE', routes.organisationSessions('nobody'), admin.token)).status).toBe(404);
  });

  it('ends with its time, and the socket does not outlive it', async () => {
    const brief = await mkdtemp(join(tmpdir(), 'fedlora-access-'));
    const other = await startCoordinator({ ...config(), dataFolder: brief }, { sessionMs: 300 });
    const { token } = await becomeFirstAdmin(other.url, other.setupToken ?? '');
    const own = new FakeFederation();
    await own.enrol(other.url, token, ['bank']);
    await own.connect(other.url);
    const beganAt = performance.now();
    expect(await own.organisations[0].untilDisconnected()).toBe('io server disconnect');
    expect(performance.now() - beganAt).toBeLessThan(5000);
    await other.close();
    await rm(brief, { recursive: true, force: true });
  });
});

describe('the audit log', () => {
  it('is exported as lines that anybody can check, whole or from where an earlier export ended', async () => {
    const read = async (after: number): Promise<string[]> => {
      const answer = await send(url, 'GET', `${routes.auditExport}?after=${after}`, admin.token);
      expect(answer.headers.get('content-type')).toBe('application/jsonl; charset=utf-8');
      return (await answer.text()).trimEnd().split('\n');
    };
    const lines = await read(0);
    const head = verifyAuditLines(lines);
    expect(head.sequence).toBe(lines.length);
    await operate(url, admin.token, 'POST', routes.invitations, { name: 'one-more' });
    const more = await read(head.sequence);
    expect(verifyAuditLines(more, head).sequence).toBe(head.sequence + 1);
    expect((JSON.parse(more[0]) as AuditLine).entry).toMatchObject({
      event: 'invitation.created',
      actor: { kind: 'token', name: 'everything' },
      address: '127.0.0.1',
      details: { name: 'one-more' },
    });
  });

  it('is filtered by event, by family of events, by who and by time, newest first, in pages', async () => {
    const read = (query: string): Promise<{ items: AuditLine[]; nextCursor: string | null }> =>
      operate(url, admin.token, 'GET', `${routes.audit}?${query}`);
    const page = await read('limit=2&event=user.');
    expect(page.items.map(({ entry }) => entry.event.slice(0, 5))).toEqual(['user.', 'user.']);
    const [first, second] = page.items.map(({ entry }) => entry.sequence);
    expect(first).toBeGreaterThan(second);
    const next = await read(`limit=2&event=user.&cursor=${page.nextCursor}`);
    expect(next.items[0].entry.sequence).toBeLessThan(second);
    expect((await read('event=user.created')).items.every(({ entry }) => entry.event === 'user.created')).toBe(true);
    expect((await read('actor=maker')).items.map(({ entry }) => entry.actor.name)).toContain('maker');
    expect((await read(`from=${now + 1}`)).items).toEqual([]);
    expect((await send(url, 'GET', `${routes.audit}?limit=0`, admin.token)).status).toBe(400);
    expect((await send(url, 'GET', `${routes.audit}?cursor=eA`, admin.token)).status).toBe(400);
    expect((await send(url, 'GET', `${routes.audit}?unknown=1`, admin.token)).status).toBe(400);
  });
});

/** RFC 4648 section 6, written another way than the code under test. */
function fromBase32(text: string): Uint8Array {
  const bits = [...text]
    .map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'))
    .join('');
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => Number.parseInt(byte, 2));
}
