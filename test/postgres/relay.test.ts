/**
 * Two coordinators on one database, of which one stands by and passes on what only the driver can answer: whoever reaches either of them
 * notices nothing of it, and gets no further by it.
 */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits, routes, type AuditLine, type RoundView, type RunView } from '@fedlora/shared';
import { sql } from 'kysely';
import { io } from 'socket.io-client';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEFAULT_ADMISSIONS } from '../../coordinator/src/access/admission.js';
import { DEFAULT_RATES } from '../../coordinator/src/access/rate-limits.js';
import { CONNECTION_LIMITS } from '../../coordinator/src/nest/connections.js';
import { PEER_HEADER, PEER_PURPOSE, Peers } from '../../coordinator/src/relay/peers.js';
import { startCoordinator, type Overrides, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { openDatabase } from '../../coordinator/src/storage/database.js';
import { openCoordinatorKey } from '../../coordinator/src/storage/keys.js';
import { databaseSetting } from '../support/database.js';
import { nginx, startReplicasNginx } from '../support/deployed-proxy.js';
import { FakeFederation, untilRound, untilRun } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { freePort } from '../support/free-port.js';
import { Processes } from '../support/processes.js';
import { RawConnection } from '../support/raw-connection.js';
import { listAll, operate, send } from '../support/requests.js';
import { plainRun } from '../support/tiny-run.js';
import { authority, TlsFront } from '../support/tls-front.js';

const program = join(import.meta.dirname, '..', '..', 'coordinator', 'bin', 'fedlora-coordinator.mjs');
/** Passwords that one address may try. */
const TRIES = 5;
/** Organisations that the driver signs in at once or lets wait; whoever stands by has a place for nobody. */
const PLACES = 3;
const few = { atOnce: 0, waiting: 0, ofEach: 2, retryAfterMs: 7_000 };
const MIB = 1024 * 1024;
/** What both coordinators let go by, and what three ends of connections hold between them. */
const MOST_OF_ENDLESS = 16 * MIB + 48 * MIB;

class Pair {
  readonly federation = new FakeFederation();
  token = '';

  private constructor(
    readonly folder: string,
    readonly driver: RunningCoordinator,
    readonly standby: RunningCoordinator,
  ) {}

  /** Both on one data folder; the organisations are enrolled, and nobody is connected. */
  static async start(overrides: Overrides = {}, ofStandby: Overrides = overrides): Promise<Pair> {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-relay-'));
    const { federationKey } = new FakeFederation();
    const start = async (its: Overrides): Promise<RunningCoordinator> => {
      const port = await freePort();
      const peerUrl = `http://127.0.0.1:${port}`;
      const common = { dataFolder: folder, host: '127.0.0.1', logLevel: 'silent', federationKey } as const;
      return startCoordinator({ ...(await databaseSetting(folder)), ...common, port, peerUrl }, its);
    };
    const pair = new Pair(folder, await start(overrides), await start(ofStandby));
    await untilReady(pair.standby.url);
    ({ token: pair.token } = await becomeFirstAdmin(pair.standby.url, pair.driver.setupToken ?? ''));
    await pair.federation.enrol(pair.standby.url, pair.token, ['bank', 'clinic', 'council']);
    return pair;
  }

  async stop(): Promise<void> {
    this.federation.disconnect();
    await this.driver.close({ abruptly: true });
    await this.standby.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

function untilReady(url: string): Promise<unknown> {
  const isReady = async (): Promise<boolean> => (await send(url, 'GET', '/readyz')).status === 200;
  return vi.waitUntil(isReady, { timeout: 30_000, interval: 50 });
}

/** What a coordinator's metrics say of it: whether it drives, and how often it took over. */
async function drivingOf({ url }: RunningCoordinator): Promise<readonly (string | undefined)[]> {
  const text = await (await send(url, 'GET', '/metrics')).text();
  return ['fedlora_driving', 'fedlora_takeovers_total'].map(
    (name) => new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1],
  );
}

/** A sign-in with a wrong password, from an address of this machine. */
function tryPassword(
  url: string,
  localAddress: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  return new Promise((resolve, reject) => {
    const type = { 'content-type': 'application/json' };
    const options = { method: 'POST', localAddress, agent: false, headers: { ...type, ...headers } };
    const asked = request(url + routes.signIn, options, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    });
    asked.on('error', reject);
    asked.end(JSON.stringify({ name: randomBytes(6).toString('hex'), password: 'a wrong password' }));
  });
}

describe('a coordinator that stands by', () => {
  let pair: Pair;
  const raw: RawConnection[] = [];

  beforeAll(async () => {
    const rates = { ...DEFAULT_RATES, secrets: { burst: TRIES, perSecond: 0.001 } };
    pair = await Pair.start(
      { rates, admissions: { ...DEFAULT_ADMISSIONS, signIns: { ...few, atOnce: 1, waiting: PLACES - 1 } } },
      { rates, admissions: { uploads: few, signIns: few, hellos: few } },
    );
  });
  afterEach(() => {
    for (const connection of raw.splice(0)) connection.end();
  });
  afterAll(() => pair?.stop());

  /** A whole run of three organisations, of which each is led somewhere. */
  async function aRun(...[bank, clinic, council, operator]: readonly string[]): Promise<void> {
    const { federation, token } = pair;
    const urls = [bank, clinic, council];
    await Promise.all(federation.organisations.map((organisation, i) => organisation.connect(urls[i])));
    const { id } = await operate<RunView>(operator, token, 'POST', routes.runs, plainRun);
    expect(await untilRun(operator, token, id)).toMatchObject({ status: 'completed', abortedRounds: 0 });
    const rounds = await listAll<RoundView>(operator, token, routes.rounds(id));
    expect(rounds).toHaveLength(plainRun.rounds);
    for (const { participants } of rounds)
      expect(participants.map(({ status }) => status)).toEqual(Array(3).fill('unmasked'));
    federation.disconnect();
  }

  it('lets organisations, operators and live pages that know only its address take part in whole rounds', async () => {
    const { driver, standby } = pair;
    await aRun(standby.url, standby.url, driver.url, standby.url);
  });

  if (nginx.path === undefined)
    it('is not met behind nginx here, which is not installed', () => {
      expect(nginx.path).toBeUndefined();
    });
  else
    it('serves behind a proxy that sends everything to each in turn and asks nobody, as nginx does', async () => {
      const ports = [pair.driver, pair.standby].map(({ url }) => Number(new URL(url).port));
      const proxy = await startReplicasNginx(join(pair.folder, 'nginx'), [ports[0], ports[1]]);
      await aRun(proxy.url, proxy.url, proxy.url, proxy.url);
      await proxy.stop();
    });

  it('gives the driver’s refusals on as they are', async () => {
    const { driver, standby, token } = pair;
    for (const [method, path, as, body] of [
      ['POST', '/api/v1/nothing', token, {}],
      ['POST', routes.runs, token, { title: 'only that' }],
      ['POST', routes.runStop('nothing'), token, undefined],
      ['GET', routes.run('nothing'), token, undefined],
      ['PUT', routes.myPassword, undefined, {}],
    ] as const) {
      const said = [driver, standby].map(async ({ url }) => {
        const answer = await send(url, method, path, as, body, { 'x-request-id': 'the-same' });
        const headers = [...answer.headers].filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name));
        return { status: answer.status, headers, problem: (await answer.json()) as unknown };
      });
      const [here, there] = await Promise.all(said);
      expect(there).toEqual(here);
      expect(here.status).toBeGreaterThanOrEqual(400);
    }
  });

  it('gives on whom the driver has no place for, with when to come again, and turns nobody away for want of its own', async () => {
    const { standby, folder, federation } = pair;
    const db = await openDatabase({ url: (await databaseSetting(folder)).databaseUrl ?? '' });
    const all = [...federation.organisations, ...federation.organisations];
    const answers: Response[] = [];
    let asked: readonly Promise<unknown>[] = [];
    // The driver notes each sign-in in this table, and so keeps its place.
    const refused = await db.transaction().execute(async (trx) => {
      await sql`LOCK TABLE organisations IN EXCLUSIVE MODE`.execute(trx);
      asked = all.map((one) => one.askForSession(standby.url).then((answer) => answers.push(answer)));
      await vi.waitUntil(() => answers.length === all.length - PLACES, { timeout: 10_000, interval: 20 });
      return [...answers];
    });
    for (const answer of refused) {
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '7']);
      expect(await answer.json()).toMatchObject({ code: 'coordinator/busy' });
    }
    await Promise.all(asked);
    expect(answers.slice(-PLACES).map(({ status }) => status)).toEqual(Array(PLACES).fill(201));
    await db.destroy();
  });

  it('is believed by the driver as to whose request it is, and nobody else is', async () => {
    const { driver, standby, folder, token } = pair;
    const host = (url: string): string => new URL(url).host;
    const forgedBy = new Peers(randomBytes(32), Date.now);
    const forged = (url: string): Record<string, string> => {
      const asked = { method: 'POST', url: routes.signIn, headers: { host: host(url) } };
      const caller = { address: `203.0.113.${String(Math.floor(performance.now()) % 256)}`, protocol: 'https' };
      return { [PEER_HEADER]: forgedBy.headerFor(asked, caller), 'x-forwarded-for': '203.0.113.9' };
    };
    // Each has its own tries, wherever it asks and whatever it says; then no more, at either of them.
    for (const [url, other, address] of [
      [standby.url, driver.url, '127.0.0.2'],
      [driver.url, standby.url, '127.0.0.3'],
    ]) {
      for (let i = 0; i < TRIES; i += 1) expect(await tryPassword(url, address, forged(url))).toBe(401);
      expect(await tryPassword(url, address, forged(url))).toBe(429);
      expect(await tryPassword(other, address, forged(other))).toBe(429);
    }
    const lines = await listAll<AuditLine>(driver.url, token, routes.audit);
    const entries = lines.map(({ entry }) => entry);
    const refused = entries.filter(({ event }) => event === 'user.sign-in.refused').map(({ address }) => address);
    expect(refused.sort()).toEqual([...Array(TRIES).fill('127.0.0.2'), ...Array(TRIES).fill('127.0.0.3')]);
    // Who has the coordinators' key is one of them.
    const key = await openCoordinatorKey(join(folder, 'coordinator.key'));
    const peers = new Peers(key.secretFor(PEER_PURPOSE), Date.now);
    const asked = { method: 'POST', url: routes.signIn, headers: { host: host(driver.url) } };
    const header = { [PEER_HEADER]: peers.headerFor(asked, { address: '203.0.113.7', protocol: 'https' }) };
    expect(await tryPassword(driver.url, '127.0.0.4', header)).toBe(401);
    expect(await tryPassword(driver.url, '127.0.0.4', header)).toBe(503);
    const [last] = await listAll<AuditLine>(driver.url, token, routes.audit);
    expect(last.entry.address).toBe('203.0.113.7');
    // And goes no further than to where it asks.
    const there = { ...asked, headers: { host: host(standby.url) } };
    const once = { [PEER_HEADER]: peers.headerFor(there, { address: '203.0.113.7', protocol: 'https' }) };
    const answer = await send(standby.url, 'POST', routes.signIn, undefined, {}, { ...once, host: host(standby.url) });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '2']);
    expect(await answer.json()).toMatchObject({ code: 'coordinator/standing-by' });
  });

  it('brings the driver more connections than one address may have, each of them bounded as the driver’s own', async () => {
    const { standby, token } = pair;
    const addresses = Array.from(
      { length: CONNECTION_LIMITS.ofOneAddress + 20 },
      (_, i) => `127.0.0.${String(2 + (i % 2))}`,
    );
    const open = await Promise.all(addresses.map((address) => RawConnection.webSocket(standby.url, address)));
    raw.push(...open);
    expect((await send(standby.url, 'GET', routes.overview, token)).status).toBe(200);
    const [one, other, third] = open;
    one.frame('text', `40${'x'.repeat(limits.controlMessageBytes)}`);
    other.frame('text', '452-["a",{},{}]');
    third.say(Uint8Array.of(0x81, 1, 0x34));
    await Promise.all([one, other, third].map((connection) => connection.closed()));
    const endless = await RawConnection.open(standby.url);
    raw.push(endless);
    endless.say(
      `POST ${routes.challenge} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    await endless.floodUntilClosed(`10000\r\n${'['.repeat(0x10000)}\r\n`);
    expect(endless.sentBytes).toBeLessThan(MOST_OF_ENDLESS);
  });
});

describe('clients that hang on a coordinator that stands by', () => {
  it('come back by themselves when the driver dies, and go on where they hang', async () => {
    const pair = await Pair.start({ leaseMs: 600 });
    const { driver, standby, federation, token } = pair;
    expect(await Promise.all([driver, standby].map(drivingOf))).toEqual([
      ['1', '0'],
      ['0', '0'],
    ]);
    const leaving = new AbortController();
    const page = io(`${standby.url}/live`, { auth: { token }, transports: ['websocket'], reconnectionDelay: 100 });
    const heard: RunView[] = [];
    let connections = 0;
    page.on('run.changed', (run: RunView) => heard.push(run));
    page.on('connect', () => (connections += 1));
    const [, , council] = federation.organisations;
    council.ignores = ({ phase }) => phase === 'training';
    const staying = federation.organisations.map((organisation) => organisation.stay(standby.url, leaving.signal));
    const { id } = await operate<RunView>(standby.url, token, 'POST', routes.runs, plainRun);
    await untilRound(standby.url, token, id, ({ phase }) => phase === 'training');
    council.ignores = () => false;
    await driver.close({ abruptly: true });
    await vi.waitUntil(() => heard.some(({ status }) => status === 'completed'), { timeout: 60_000, interval: 50 });
    expect(connections).toBeGreaterThan(1);
    expect(await drivingOf(standby)).toEqual(['1', '1']);
    expect(heard.at(-1)).toMatchObject({ id, status: 'completed', abortedRounds: 0 });
    expect(await operate<RunView>(standby.url, token, 'GET', routes.run(id))).toMatchObject({ completedRounds: 2 });
    leaving.abort();
    page.disconnect();
    await Promise.all(staying);
    await pair.stop();
  });
});

describe('coordinators with TLS between them', () => {
  const processes = new Processes();
  afterEach(() => processes.stop());

  it('pass everything on while the driver’s certificate is of an authority they know, and otherwise nothing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-relay-'));
    const federation = new FakeFederation();
    const { federationKey } = federation;
    const { databaseUrl = '' } = await databaseSetting(folder);
    const [port, ownPort] = [await freePort(), await freePort()];
    const front = await TlsFront.start(port, 'first');
    const common = { dataFolder: folder, host: '127.0.0.1', logLevel: 'silent', federationKey, databaseUrl } as const;
    const driver = await startCoordinator({ ...common, port, peerUrl: front.url });
    // Node reads whom else to believe when a process starts.
    const url = `http://127.0.0.1:${ownPort}`;
    processes.start([program], {
      log: join(folder, 'standby.log'),
      env: {
        FEDLORA_DATA: folder,
        FEDLORA_PORT: String(ownPort),
        FEDLORA_FEDERATION_KEY: federationKey,
        FEDLORA_DATABASE_URL: databaseUrl,
        FEDLORA_PEER_URL: url,
        NODE_EXTRA_CA_CERTS: authority,
      },
    });
    await vi.waitUntil(() => untilReady(url).catch(() => false), { timeout: 30_000 });
    const { token } = await becomeFirstAdmin(url, driver.setupToken ?? '');
    await federation.enrol(url, token, ['bank', 'clinic', 'council']);
    await federation.connect(url);
    const { id } = await operate<RunView>(url, token, 'POST', routes.runs, plainRun);
    expect(await untilRun(url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 0 });
    // The certificate is the driver's, whatever its clients call it.
    expect(await tryPassword(url, '127.0.0.5', { host: 'fedlora.example.org' })).toBe(401);
    const [last] = await listAll<AuditLine>(url, token, routes.audit);
    expect(last.entry).toMatchObject({ event: 'user.sign-in.refused', address: '127.0.0.5' });

    await front.present('foreign');
    const refused = await send(url, 'POST', routes.runs, token, plainRun);
    expect(refused.status).toBe(503);
    expect(await refused.text()).toContain('certificate');
    await front.present('renewed');
    await untilReady(url);
    expect((await send(url, 'POST', routes.runs, token, { title: 'only that' })).status).toBe(400);

    federation.disconnect();
    await processes.stop();
    await driver.close();
    await front.stop();
    await rm(folder, { recursive: true, force: true });
  });
});
