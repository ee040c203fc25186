import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { routes, type RoundView, type RunView } from '@fedlora/shared';
import { RoundsRepository } from '../../coordinator/src/rounds/rounds.repository.js';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { openDatabase } from '../../coordinator/src/storage/database.js';
import { DriverLease } from '../../coordinator/src/storage/lease.js';
import { aDatabase, databaseSetting } from '../support/database.js';
import { eventually } from '../support/eventually.js';
import { FakeFederation, untilRound, untilRun } from '../support/fake-federation.js';
import { startFakeNetwork, type FakeNetwork } from '../support/fake-network.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { freePort } from '../support/free-port.js';
import { Processes } from '../support/processes.js';
import { listAll, operate, send } from '../support/requests.js';
import { plainRun } from '../support/tiny-run.js';

const program = join(import.meta.dirname, '..', '..', 'coordinator', 'bin', 'fedlora-coordinator.mjs');

describe('the lease of the driver', () => {
  it('is one process’s at a time, its number only grows, and whoever slept through it changes no round', async () => {
    const address = await aDatabase();
    const [db, other] = [await openDatabase(address), await openDatabase(address)];
    const [asleep, awake] = [new DriverLease(db, 200), new DriverLease(other)];
    expect(await asleep.tryTake()).toBe(true);
    expect(await awake.tryTake()).toBe(false);
    const rounds = new RoundsRepository(db, asleep);
    const change = (): Promise<unknown> =>
      rounds.transaction((trx) => trx.insertInto('settings').values({ key: 'changed', value: '1' }).execute());
    await wait(250);
    expect(await asleep.renew()).toBe(true); // It ran out, and nobody minded.
    await wait(250);
    expect(await awake.tryTake()).toBe(true);
    await expect(change()).rejects.toMatchObject({ code: 'coordinator/standing-by' });
    expect(await asleep.renew()).toBe(false);
    await asleep.giveBack();
    const lease = await db.selectFrom('leases').selectAll().executeTakeFirstOrThrow();
    expect(lease.token).toBe(2);
    expect(lease.expires_at).toBeGreaterThan(0); // What is given back is not another's.
    expect(await db.selectFrom('settings').selectAll().execute()).toEqual([]);
    await awake.giveBack();
    expect(await asleep.tryTake()).toBe(true);
    await change();
    expect((await db.selectFrom('leases').select('token').execute())[0]).toEqual({ token: 3 });
    await Promise.all([db.destroy(), other.destroy()]);
  });
});

describe('whoever holds the lease', () => {
  it('names its address for the others, unless it has none, and leaves nobody else’s behind', async () => {
    const address = await aDatabase();
    const [db, other] = [await openDatabase(address), await openDatabase(address)];
    const peerUrl = 'http://10.0.0.5:7400';
    const [named, nameless] = [new DriverLease(db, 60_000, peerUrl), new DriverLease(other)];
    expect(await named.tryTake()).toBe(true);
    expect([await nameless.tryTake(), nameless.heldBy]).toEqual([false, { token: 1, peerUrl }]);
    await named.giveBack();
    expect([await nameless.tryTake(), nameless.heldBy]).toEqual([true, undefined]);
    expect([await named.tryTake(), named.heldBy]).toEqual([false, { token: 2, peerUrl: undefined }]);
    await Promise.all([db.destroy(), other.destroy()]);
  });
});

describe('two coordinators on one database', () => {
  const running: RunningCoordinator[] = [];
  let network: FakeNetwork;

  /** A driver in the middle of a round, whose council has not answered yet, and one that stands by. */
  async function start(leaseMs: number): Promise<{ standby: RunningCoordinator; run: RunView; round: RoundView }> {
    network = await startFakeNetwork(
      ['bank', 'clinic', 'council'],
      ({ organisations }) => {
        organisations[2].ignores = ({ phase }) => phase === 'training';
      },
      {},
      { leaseMs },
    );
    const { coordinator, federation, folder, admin } = network;
    const { federationKey } = federation;
    const standby = await startCoordinator(
      {
        ...(await databaseSetting(folder)),
        dataFolder: folder,
        host: '127.0.0.1',
        port: 0,
        logLevel: 'silent',
        federationKey,
      },
      { leaseMs },
    );
    running.push(coordinator, standby);
    const run = await operate<RunView>(coordinator.url, admin.token, 'POST', routes.runs, plainRun);
    const round = await untilRound(coordinator.url, admin.token, run.id, ({ phase }) => phase === 'training');
    return { standby, run, round };
  }

  /** The clients go where the proxy leads them, and the run is completed there. */
  async function complete(url: string, runId: string): Promise<void> {
    const { federation, admin } = network;
    federation.organisations[2].ignores = () => false;
    federation.disconnect();
    await vi.waitUntil(async () => (await send(url, 'GET', '/readyz', undefined)).status === 200, {
      timeout: 20_000,
      interval: 50,
    });
    await federation.connect(url);
    expect(await untilRun(url, admin.token, runId)).toMatchObject({ status: 'completed', abortedRounds: 0 });
    const rounds = await listAll<RoundView>(url, admin.token, routes.rounds(runId));
    expect(rounds.map(({ number, phase }) => [number, phase])).toEqual([
      [2, 'done'],
      [1, 'done'],
    ]);
  }

  afterEach(async () => {
    vi.restoreAllMocks();
    network.federation.disconnect();
    await Promise.all(running.splice(0).map((coordinator) => coordinator.close({ abruptly: true })));
  });

  it('show the same, and the one that stands by refuses what only the driver can do', async () => {
    const { standby, run, round } = await start(15_000);
    const { admin, federation } = network;
    expect(standby.setupToken).toBeUndefined();
    const [seen] = await listAll<RoundView>(standby.url, admin.token, routes.rounds(run.id));
    expect(seen).toMatchObject({ id: round.id, phase: 'training' });
    for (const [method, path] of [
      ['POST', routes.runStop(run.id)],
      ['GET', '/readyz'],
    ]) {
      const answer = await send(standby.url, method, path, admin.token);
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '2']);
      expect(await answer.json()).toMatchObject({ code: 'coordinator/standing-by' });
    }
    await expect(federation.organisations[0].signIn(standby.url)).rejects.toThrow();
    await network.coordinator.close();
    await complete(standby.url, run.id);
  });

  it('drive one after the other: when the driver falls asleep the other goes on, and the one that wakes up changes nothing and ends', async () => {
    const { standby, run } = await start(600);
    const { coordinator, admin, federation } = network;
    const { renew } = DriverLease.prototype;
    let wakeUp = (): void => undefined;
    const untilAwake = new Promise<void>((resolve) => (wakeUp = resolve));
    const asked = vi.spyOn(DriverLease.prototype, 'renew').mockImplementation(async function (this: DriverLease) {
      if (this === asked.mock.contexts[0]) await untilAwake; // The driver's own, which was asked first.
      return renew.call(this);
    });
    await vi.waitUntil(async () => (await send(standby.url, 'GET', '/readyz', undefined)).status === 200, {
      timeout: 20_000,
      interval: 50,
    });
    // The old driver still believes that it drives, and its clients are still there.
    const stop = await send(coordinator.url, 'POST', routes.runStop(run.id), admin.token);
    expect([stop.status, await stop.json()]).toMatchObject([503, { code: 'coordinator/standing-by' }]);
    federation.disconnect();
    wakeUp();
    expect(await coordinator.lost).toMatchObject({ code: 'coordinator/standing-by' });
    await complete(standby.url, run.id);
  });
});

describe('a driver whose process is frozen for longer than its lease, as a machine that sleeps', () => {
  const processes = new Processes();
  afterEach(() => processes.stop());

  it('is taken over from, and when it goes on it changes nothing and ends with its message', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-frozen-'));
    const federation = new FakeFederation();
    const leaving = new AbortController();
    const { federationKey } = federation;
    const { databaseUrl = '' } = await databaseSetting(folder);
    const [log, port, ownPort] = [join(folder, 'driver.log'), await freePort(), await freePort()];
    const url = `http://127.0.0.1:${port}`;
    const printed = (): Promise<string> => readFile(log, 'utf8');
    const driver = processes.start([program], {
      log,
      env: {
        FEDLORA_DATA: folder,
        FEDLORA_PORT: String(port),
        FEDLORA_FEDERATION_KEY: federationKey,
        FEDLORA_DATABASE_URL: databaseUrl,
        FEDLORA_LEASE_SECONDS: '3',
        FEDLORA_PEER_URL: url,
      },
    });
    await eventually('the driver answers', async () => (await send(url, 'GET', '/readyz')).ok);
    const standby = await startCoordinator({
      dataFolder: folder,
      host: '127.0.0.1',
      port: ownPort,
      logLevel: 'silent',
      federationKey,
      databaseUrl,
      leaseSeconds: 3,
      peerUrl: `http://127.0.0.1:${ownPort}`,
    });
    const { token } = await becomeFirstAdmin(url, /#setup=([\w-]+)/.exec(await printed())?.[1] ?? '');
    await federation.enrol(url, token, ['bank', 'clinic', 'council']);
    const [, , council] = federation.organisations;
    council.ignores = ({ phase }) => phase === 'training';
    const staying = federation.stay(standby.url, leaving.signal);
    const { id } = await operate<RunView>(url, token, 'POST', routes.runs, plainRun);
    await untilRound(url, token, id, ({ phase }) => phase === 'training');

    driver.kill('SIGSTOP');
    council.ignores = () => false; // From here on only the other asks.
    // Its machine takes what it is asked, and it reads that when it goes on.
    const stop = send(url, 'POST', routes.runStop(id), token).then(
      ({ status }) => status,
      () => 'no answer',
    );
    await eventually('the other drives', async () =>
      (await (await send(standby.url, 'GET', '/metrics')).text()).includes('fedlora_driving 1'),
    );
    const ended = once(driver, 'exit');
    driver.kill('SIGCONT');
    expect(await ended).toEqual([1, null]);
    expect([503, 'no answer']).toContain(await stop);
    expect(await printed()).toMatch(/another one drives the rounds|Another coordinator drives the rounds now/);

    expect(await untilRun(standby.url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 0 });
    const rounds = await listAll<RoundView>(standby.url, token, routes.rounds(id));
    expect(rounds.map(({ number, phase }) => [number, phase])).toEqual([
      [2, 'done'],
      [1, 'done'],
    ]);
    for (const { participants } of rounds)
      expect(participants.map(({ status }) => status)).toEqual(Array(3).fill('unmasked'));

    leaving.abort();
    await staying;
    await standby.close({ abruptly: true });
    await rm(folder, { recursive: true, force: true });
  });
});
