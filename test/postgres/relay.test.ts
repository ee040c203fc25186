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
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEFAULT_RATES } from '../../coordinator/src/access/rate-limits.js';
import { PEER_HEADER, PEER_PURPOSE, Peers } from '../../coordinator/src/relay/peers.js';
import { startCoordinator, type Overrides, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { openCoordinatorKey } from '../../coordinator/src/storage/keys.js';
import { databaseSetting } from '../support/database.js';
import { nginx, startReplicasNginx } from '../support/deployed-proxy.js';
import { FakeFederation, untilRound, untilRun } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { freePort } from '../support/free-port.js';
import { RawConnection } from '../support/raw-connection.js';
import { json, listAll, operate, send } from '../support/requests.js';
import { plainRun } from '../support/tiny-run.js';

const SECRETS = 5;

class Pair {
  readonly federation = new FakeFederation();
  token = '';

  private constructor(
    readonly folder: string,
    readonly driver: RunningCoordinator,
    readonly standby: RunningCoordinator,
  ) {}

  /** Both on one data folder; the organisations are enrolled, and nobody is connected. */
  static async start(overrides: Overrides = {}): Promise<Pair> {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-relay-'));
    const { federationKey } = new FakeFederation();
    const start = async (): Promise<RunningCoordinator> => {
      const port = await freePort();
      const peerUrl = `http://127.0.0.1:${port}`;
      const common = { dataFolder: folder, host: '127.0.0.1', logLevel: 'silent', federationKey } as const;
      return startCoordinator({ ...(await databaseSetting(folder)), ...common, port, peerUrl }, overrides);
    };
    const pair = new Pair(folder, await start(), await start());
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

describe('a coordinator that stands by', () => {
  let pair: Pair;
  const raw: RawConnection[] = [];

  beforeAll(async () => {
    pair = await Pair.start({ rates: { ...DEFAULT_RATES, secrets: { burst: SECRETS, perSecond: 0.001 } } });
  }, 60_000);
  afterEach(() => {
    for (const connection of raw.splice(0)) connection.end();
  });
  afterAll(() => pair.stop());

  it('lets organisations, operators and live pages that know only its address take part in whole rounds', async () => {
    const { driver, standby, federation, token } = pair;
    const [bank, clinic, council] = federation.organisations;
    await Promise.all([bank.connect(standby.url), clinic.connect(standby.url), council.connect(driver.url)]);
    const { id } = await operate<RunView>(standby.url, token, 'POST', routes.runs, plainRun);
    expect(await untilRun(standby.url, token, id)).toMatchObject({ status: 'completed', abortedRounds: 0 });
    const rounds = await listAll<RoundView>(standby.url, token, routes.rounds(id));
    for (const { participants } of rounds)
      expect(participants.map(({ name, status }) => [name, status])).toEqual(
        ['bank', 'clinic', 'council'].map((name) => [name, 'unmasked']),
      );
    expect(await listAll(driver.url, token, routes.rounds(id))).toEqual(rounds);
  });
});
