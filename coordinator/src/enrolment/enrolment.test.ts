import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toHex } from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import {
  routes,
  sessionMessage,
  WIRE_VERSION,
  type InvitationResponse,
  type InvitationView,
  type Overview,
  type Page,
  type RunPlanView,
} from '@fedlora/shared';
import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseContent, databaseSetting, isOnPostgres } from '../../../test/support/database.js';
import { FakeFederation, FakeOrganisation } from '../../../test/support/fake-federation.js';
import { becomeFirstAdmin } from '../../../test/support/first-admin.js';
import { json, operate, send } from '../../../test/support/requests.js';
import { clockBetween } from '../session/session.service.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';

let folder: string;
let coordinator: RunningCoordinator;
let url: string;
let token: string;
const federation = new FakeFederation();
const config = async () => ({
  ...(await databaseSetting(folder)),
  dataFolder: folder,
  host: '127.0.0.1',
  port: 0,
  logLevel: 'silent' as const,
  federationKey: federation.federationKey,
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-enrolment-'));
  coordinator = await startCoordinator(await config());
  url = coordinator.url;
  ({ token } = await becomeFirstAdmin(url, coordinator.setupToken ?? ''));
});
afterAll(async () => {
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

/** The status and code of an answer that refuses. */
async function refusal(response: Response): Promise<[number, string]> {
  const { code } = JSON.parse(await response.text()) as { code: string };
  return [response.status, code];
}

async function invite(name: string): Promise<string> {
  return (await operate<{ token: string }>(url, token, 'POST', routes.invitations, { name })).token;
}

function enrolmentOf(organisation: FakeOrganisation, invitation: string, name = organisation.name): object {
  const { identity } = organisation;
  const signature = organisation.sign(`fedlora/enrol/v1\n${name}\n${identity}\n${invitation}`);
  return { token: invitation, name, identity, signature };
}

describe('enrolment', () => {
  it('takes an invitation once, and gives its holder the same answer again', async () => {
    const clinic = new FakeOrganisation('clinic');
    const invitation = await invite('clinic');
    const answer = await clinic.enrol(url, invitation);
    expect(answer).toMatchObject({ name: 'clinic', status: 'pending' });
    expect(await clinic.enrol(url, invitation)).toEqual(answer);
    const thief = new FakeOrganisation('thief');
    const stolen = await send(url, 'POST', routes.enrol, undefined, enrolmentOf(thief, invitation, 'clinic'));
    expect(await refusal(stolen)).toEqual([409, 'enrol/token-spent']);
  });

  it('refuses unknown tokens, other names, taken names and signatures of others', async () => {
    const bank = new FakeOrganisation('bank');
    const post = (body: object): Promise<Response> => send(url, 'POST', routes.enrol, undefined, body);
    expect(await refusal(await post(enrolmentOf(bank, 'no-such-token')))).toEqual([403, 'enrol/token-unknown']);
    const invitation = await invite('bank');
    expect(await refusal(await post(enrolmentOf(bank, invitation, 'banker')))).toEqual([403, 'enrol/wrong-name']);
    const forged = { ...enrolmentOf(bank, invitation), signature: '0'.repeat(128) };
    expect(await refusal(await post(forged))).toEqual([403, 'crypto/bad-signature']);
    const again = await invite('clinic');
    expect(await refusal(await post(enrolmentOf(bank, again, 'clinic')))).toEqual([409, 'enrol/name-taken']);
    expect(await refusal(await post({ ...enrolmentOf(bank, invitation), extra: 1 }))).toEqual([400, 'request/invalid']);
    expect((await post(enrolmentOf(bank, invitation))).status).toBe(201);
  });

  it('makes a member of whoever the federation key certifies, and of nobody else', async () => {
    const path = routes.organisationCertificate('bank');
    expect(await refusal(await send(url, 'POST', path, token, { certificate: '0'.repeat(128) }))).toEqual([
      403,
      'crypto/bad-signature',
    ]);
    expect(await refusal(await send(url, 'POST', path, undefined, { certificate: '0'.repeat(128) }))).toEqual([
      401,
      'session/required',
    ]);
    await federation.enrol(url, token, ['council']);
    const { organisations } = await operate<Overview>(url, token, 'GET', routes.overview);
    expect(organisations.map(({ name, status }) => [name, status])).toEqual([
      ['bank', 'pending'],
      ['clinic', 'pending'],
      ['council', 'active'],
    ]);
  });

  it('keeps the coordinator’s key from others, and only hashes of tokens in the database', async () => {
    expect((await stat(join(folder, 'coordinator.key'))).mode & 0o077).toBe(0);
    expect((await databaseContent(folder)).includes(token)).toBe(false);
  });
});

describe('invitations', () => {
  const list = async (status: string): Promise<readonly InvitationView[]> =>
    (await operate<Page<InvitationView>>(url, token, 'GET', `${routes.invitations}?status=${status}`)).items;

  it('are listed by what has become of them, without their tokens', async () => {
    const open = await operate<InvitationResponse>(url, token, 'POST', routes.invitations, { name: 'library' });
    expect(open).toMatchObject({
      federationKey: federation.federationKey,
      coordinatorKey: expect.any(String) as string,
    });
    const [listed] = await list('open');
    expect(listed).toEqual({
      id: open.id,
      name: 'library',
      status: 'open',
      createdBy: 'everything',
      createdAt: expect.any(Number) as number,
      expiresAt: open.expiresAt,
      endedAt: null,
    });
    expect((await list('used')).map(({ name }) => name)).toContain('clinic');
    expect((await list('used')).every(({ endedAt }) => endedAt !== null)).toBe(true);
    const all = await (await send(url, 'GET', routes.invitations, token)).text();
    expect(all).not.toContain(open.token);
  });

  it('are worthless once withdrawn, and are withdrawn as long as nobody has used them', async () => {
    const library = new FakeOrganisation('library');
    const { id, token: invitation } = await operate<InvitationResponse>(url, token, 'POST', routes.invitations, {
      name: 'library',
    });
    const withdraw = (of: string): Promise<Response> => send(url, 'DELETE', routes.invitation(of), token);
    expect((await withdraw(id)).status).toBe(204);
    expect((await withdraw(id)).status).toBe(204);
    const late = await send(url, 'POST', routes.enrol, undefined, enrolmentOf(library, invitation));
    expect(await refusal(late)).toEqual([403, 'enrol/token-withdrawn']);
    expect((await list('withdrawn')).map((one) => one.id)).toEqual([id]);
    const [used] = await list('used');
    expect(await refusal(await withdraw(used.id))).toEqual([409, 'enrol/invitation-ended']);
    expect(await refusal(await withdraw('no-such-id'))).toEqual([404, 'enrol/unknown-invitation']);
  });
});

describe('a client’s clock', () => {
  it.each([
    ['right, read in the middle', 1000, 1050, 1100, 0, 50],
    ['read just before the answer came', 1000, 1100, 1100, 50, 50],
    ['a minute ahead', 1000, 61_050, 1100, 60_000, 50],
    ['a minute behind, over a slow link', 100_000, 41_500, 103_000, -60_000, 1500],
  ])(
    'that is %s is known to half the time between challenge and answer',
    (_what, from, theirs, to, skewMs, uncertaintyMs) => {
      expect(clockBetween(from, theirs, to)).toEqual({ skewMs, uncertaintyMs, measuredAt: to });
    },
  );
});

describe('a session', () => {
  const council = new FakeOrganisation('council');

  it('opens with a signed nonce, once', async () => {
    await expect(federation.organisations[0].signIn(url)).resolves.toMatch(/^[\w-]{40,}$/);
    const { identity } = council;
    const { nonce } = await json<{ nonce: string }>(await send(url, 'POST', routes.challenge, undefined, { identity }));
    const address = JSON.parse(await readFile(join(folder, 'address.json'), 'utf8')) as { url: string };
    expect(address.url).toBe(url);
    const seed = Buffer.from((await readFile(join(folder, 'coordinator.key'), 'utf8')).trim(), 'hex');
    const key = toHex(nodeProvider.ed25519.publicKey(Uint8Array.from(seed)));
    const body = {
      identity,
      nonce,
      signature: council.sign(sessionMessage(identity, nonce, key)),
      wireVersion: WIRE_VERSION,
    };
    expect((await send(url, 'POST', routes.session, undefined, body)).status).toBe(201);
    expect(await refusal(await send(url, 'POST', routes.session, undefined, body))).toEqual([
      401,
      'session/challenge-spent',
    ]);
  });

  it('is refused to strangers, wrong signatures and other wire versions', async () => {
    const stranger = seededRandom('stranger')(32);
    const identity = toHex(nodeProvider.ed25519.publicKey(stranger));
    const { nonce } = await json<{ nonce: string }>(await send(url, 'POST', routes.challenge, undefined, { identity }));
    const post = (body: object): Promise<Response> => send(url, 'POST', routes.session, undefined, body);
    expect(
      await refusal(await post({ identity, nonce, signature: '0'.repeat(128), wireVersion: WIRE_VERSION + 1 })),
    ).toEqual([426, 'session/wire-version']);
    expect(
      await refusal(await post({ identity, nonce, signature: '0'.repeat(128), wireVersion: WIRE_VERSION })),
    ).toEqual([403, 'crypto/bad-signature']);
    expect(
      await refusal(await post({ identity, nonce, signature: '0'.repeat(128), wireVersion: WIRE_VERSION })),
    ).toEqual([401, 'session/challenge-spent']);
  });

  it('opens what clients need and nothing of the operator', async () => {
    const session = await federation.organisations[0].signIn(url);
    expect(await refusal(await send(url, 'GET', routes.overview, session))).toEqual([403, 'session/not-allowed']);
    expect(await refusal(await send(url, 'GET', routes.version('0'.repeat(40)), session))).toEqual([
      404,
      'version/unknown',
    ]);
    expect(
      await refusal(await send(url, 'GET', routes.versionFile('0'.repeat(40), '../../coordinator.key'), session)),
    ).toEqual([404, 'version/unknown']);
    expect(await refusal(await send(url, 'GET', '/api/v1/nothing', token))).toEqual([404, 'request/not-found']);
  });

  it('is what sockets ask for', async () => {
    for (const [address, auth] of [
      [url, {}],
      [url, { token }],
      [`${url}/live`, {}],
    ] as const) {
      const socket = io(address, { auth, transports: ['websocket'], reconnection: false, forceNew: true });
      const error = await new Promise<Error>((resolve) => socket.once('connect_error', resolve));
      expect(error.message).toMatch(/^session\//);
      socket.close();
    }
  });

  it('answers malformed messages over the socket, and survives them', async () => {
    const session = await federation.organisations[0].signIn(url);
    const socket = io(url, {
      auth: { token: session },
      transports: ['websocket'],
      reconnection: false,
      forceNew: true,
    });
    const ask = (event: string, body: unknown): Promise<unknown> =>
      socket.timeout(5000).emitWithAck(event, body) as Promise<unknown>;
    for (const body of [
      null,
      7,
      'text',
      [],
      {},
      { wireVersion: '1' },
      { wireVersion: 1, clientVersion: '1', state: 'idle', device: 'cpu', more: 1 },
    ]) {
      expect(await ask('session.hello', body)).toMatchObject({ ok: false, error: { code: 'request/invalid' } });
    }
    expect(await ask('session.state', { state: 'idle' })).toMatchObject({
      ok: false,
      error: { code: 'session/hello-first' },
    });
    const other = { wireVersion: WIRE_VERSION + 1, clientVersion: '1', state: 'idle', device: 'cpu' };
    expect(await ask('session.hello', other)).toMatchObject({ ok: false, error: { code: 'session/wire-version' } });
    expect(await ask('round.reply', { roundId: 'x', phase: 'training', message: 'text' })).toMatchObject({ ok: false });
    expect(await ask('session.hello', { ...other, wireVersion: WIRE_VERSION })).toEqual({ ok: true });
    socket.close();
  });
});

describe('a data folder', () => {
  it('is used by one coordinator at a time, unless a database in common decides who drives', async () => {
    if (isOnPostgres) {
      const second = await startCoordinator(await config());
      expect((await send(second.url, 'GET', '/readyz', undefined)).status).toBe(503);
      await second.close();
      return;
    }
    await expect(startCoordinator(await config())).rejects.toMatchObject({ code: 'data-folder/locked' });
  });

  it('belongs to one federation', async () => {
    await coordinator.close();
    await expect(startCoordinator({ ...(await config()), federationKey: 'a'.repeat(64) })).rejects.toMatchObject({
      code: 'data-folder/foreign',
    });
    coordinator = await startCoordinator(await config());
    expect(coordinator.setupToken).toBeUndefined();
    expect((await send(coordinator.url, 'GET', routes.overview, token)).status).toBe(200);
  });
});

describe('plans and faces', () => {
  it('says what a description would become, and what is wrong with one', async () => {
    const { url: address } = coordinator;
    await federation.enrol(address, token, ['museum', 'school']);
    const description = JSON.parse(
      await readFile(new URL('../../../deploy/demo/run.json', import.meta.url), 'utf8'),
    ) as Record<string, object>;
    const shape = {
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 2,
    };
    const complete = {
      ...description,
      base: { ...description.base, digest: 'b'.repeat(64), shape },
      training: { ...description.training, samplingRate: 0.02, maximumRecords: 300 },
    };
    const post = (route: string, body: object): Promise<Response> => send(address, 'POST', route, token, body);
    const planned = async (body: object): Promise<RunPlanView> => json(await post(routes.runPlan, body));
    const { plan, problems } = await planned({ ...complete, epsilonCaps: [4] });
    // Three of three: without anybody a round is aborted.
    expect(problems).toMatchObject([{ field: 'threshold', code: 'plan/no-dropouts', severity: 'advice' }]);
    expect(plan).toMatchObject({ threshold: 3, dropoutsSurvived: 0, members: ['council', 'museum', 'school'] });
    expect(Math.log2(plan?.manifest.encoding.stepsPerUnit ?? NaN) % 1).toBe(0);
    const curve = plan?.epsilonCurve ?? [];
    expect(curve).toHaveLength(41);
    expect(curve[0]).toEqual({ rounds: 0, epsilon: 0 });
    expect(curve[40].rounds).toBe(120);
    expect(curve[40].epsilon).toBeGreaterThan(1);
    expect(plan?.caps).toMatchObject([{ epsilon: 4 }]);
    expect((await operate<Overview>(address, token, 'GET', routes.overview)).runs).toEqual([]);
    const start = (body: object): Promise<Response> => post(routes.runs, body);
    expect(await refusal(await post(routes.runPlan, description))).toEqual([400, 'request/invalid']);
    // What the plan finds wrong is what a start is refused for; the plan names all of it.
    const wrong = { ...complete, training: description.training, threshold: 2, organisations: ['nobody'] };
    expect(await refusal(await start(wrong))).toEqual([422, 'run/invalid-description']);
    expect(await refusal(await start({ ...complete, threshold: 2 }))).toEqual([422, 'manifest/invalid']);
    const all = await planned(wrong);
    expect(all.plan).toBeNull();
    expect(all.problems.map(({ field, code }) => [field, code])).toEqual([
      ['organisations', 'run/invalid-description'],
      ['training.samplingRate', 'run/invalid-description'],
      ['training.maximumRecords', 'run/invalid-description'],
      ['threshold', 'manifest/invalid'],
    ]);
  });

  it('tells that it is well, and its numbers', async () => {
    expect((await send(coordinator.url, 'GET', '/healthz')).status).toBe(200);
    expect(await (await send(coordinator.url, 'GET', '/metrics')).text()).toContain(
      'fedlora_connected_organisations 0',
    );
    const { headers } = await send(coordinator.url, 'GET', '/readyz');
    expect(headers.get('content-security-policy')).toContain("style-src 'self' 'unsafe-inline'");
    expect(headers.get('x-powered-by')).toBeNull();
  });
});
