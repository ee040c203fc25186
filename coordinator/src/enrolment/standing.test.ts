import {
  routes,
  type AuditLine,
  type OrganisationDetails,
  type OrganisationView,
  type Page,
  type RoundRequest,
  type RoundView,
  type RunView,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databaseSetting } from '../../../test/support/database.js';
import { type FakeFederation, untilRound, untilRun } from '../../../test/support/fake-federation.js';
import { startFakeNetwork, stopFakeNetwork, type FakeNetwork } from '../../../test/support/fake-network.js';
import { listAll, operate, send } from '../../../test/support/requests.js';
import { runOfFour } from '../../../test/support/tiny-run.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';

const names = ['bank', 'clinic', 'council', 'museum'];
let network: FakeNetwork;
let coordinator: RunningCoordinator;
let url: string;
let token: string;
let federation: FakeFederation;

beforeAll(async () => {
  network = await startFakeNetwork(names, ({ organisations }) => {
    organisations[0].clockSkewMs = 90_000;
  });
  ({ coordinator, federation } = network);
  ({ url } = coordinator);
  ({ token } = network.admin);
});
afterAll(() => stopFakeNetwork({ ...network, coordinator }));

const start = (changes: object = {}): Promise<RunView> =>
  operate(url, token, 'POST', routes.runs, { ...runOfFour, ...changes });
const details = (name: string): Promise<OrganisationDetails> => operate(url, token, 'GET', routes.organisation(name));
const post = <Answer>(route: string, body?: object): Promise<Answer> => operate(url, token, 'POST', route, body);
const participantsOf = ({ participants }: RoundView): string[] => participants.map(({ name }) => name);

async function eventsOf(family: string): Promise<object[]> {
  const page = await operate<Page<AuditLine>>(url, token, 'GET', `${routes.audit}?event=${family}`);
  return page.items.map(({ entry: { event, details, before, after } }) => ({ event, details, before, after }));
}

describe('an organisation', () => {
  it('shows how far its clock is off, within the time of its sign-in, and a warning where that is much', async () => {
    const [bank, clinic] = await listAll<OrganisationView>(url, token, routes.organisations);
    const { skewMs, uncertaintyMs } = bank.clock ?? { skewMs: NaN, uncertaintyMs: NaN };
    expect(Math.abs(skewMs - 90_000)).toBeLessThanOrEqual(uncertaintyMs + 1);
    expect(uncertaintyMs).toBeLessThan(20_000);
    expect(bank.warnings).toContainEqual(expect.objectContaining({ code: 'health/clock-skew' }) as object);
    expect(clinic.warnings).not.toContainEqual(expect.objectContaining({ code: 'health/clock-skew' }) as object);
  });

  it('that nobody knows has no page', async () => {
    expect((await send(url, 'GET', routes.organisation('nobody'), token)).status).toBe(404);
    expect((await send(url, 'POST', routes.organisationSuspend('nobody'), token, {})).status).toBe(404);
  });
});

describe('a suspended organisation', () => {
  it('is taken out of the open round and is told; the run goes on without it', async () => {
    const museum = federation.organisations[3];
    museum.ignores = ({ phase }: RoundRequest) => phase === 'training';
    const { id } = await start();
    await untilRound(
      url,
      token,
      id,
      ({ participants }) => participants.filter((p) => p.status === 'uploaded').length === 3,
    );
    const suspended = await post<OrganisationDetails>(routes.organisationSuspend('museum'), {
      reason: 'Rows under review',
    });
    expect(suspended).toMatchObject({
      status: 'suspended',
      suspension: { reason: 'Rows under review' },
      connected: true,
    });
    expect((await untilRun(url, token, id)).status).toBe('completed');
    expect(museum.standings).toEqual([
      { suspended: false, reason: null },
      { suspended: true, reason: 'Rows under review' },
    ]);
    const [third, second, first] = await listAll<RoundView>(url, token, routes.rounds(id));
    expect(first.participants.find(({ name }) => name === 'museum')).toMatchObject({
      status: 'dropped',
      reason: 'organisation/suspended',
    });
    expect(participantsOf(second)).toEqual(['bank', 'clinic', 'council']);
    expect(participantsOf(third)).toEqual(['bank', 'clinic', 'council']);
    expect(first.phase).toBe('done');
    museum.ignores = () => false;
  });

  it('shows the round that it was taken out of', async () => {
    expect((await details('museum')).latestRounds).toMatchObject([
      { number: 1, outcome: 'done', failure: 'organisation/suspended' },
    ]);
    expect((await details('bank')).latestRounds.map(({ number, failure }) => [number, failure])).toEqual([
      [3, null],
      [2, null],
      [1, null],
    ]);
  });

  it('is in no new run, and says so to whoever names it', async () => {
    const { id, members } = await start({ rounds: 1, threshold: 3 });
    expect(members).toEqual(['bank', 'clinic', 'council']);
    await untilRun(url, token, id);
    const refused = await send(url, 'POST', routes.runs, token, { ...runOfFour, organisations: names });
    expect(refused.status).toBe(422);
    expect(await refused.text()).toContain('suspended or gone: museum');
  });

  it('hears it again when it connects again', async () => {
    const museum = federation.organisations[3];
    museum.disconnect();
    museum.standings.length = 0;
    await museum.connect(url);
    await expect.poll(() => museum.standings).toEqual([{ suspended: true, reason: 'Rows under review' }]);
  });

  it('takes part again once it is reinstated, which is done once', async () => {
    const museum = federation.organisations[3];
    expect(await post(routes.organisationReinstate('museum'))).toMatchObject({ status: 'active', suspension: null });
    await expect.poll(() => museum.standings.at(-1)).toEqual({ suspended: false, reason: null });
    const again = await send(url, 'POST', routes.organisationReinstate('museum'), token);
    expect([again.status, ((await again.json()) as { code: string }).code]).toEqual([
      409,
      'organisation/not-suspended',
    ]);
    const { id, members } = await start({ rounds: 1 });
    expect(members).toEqual(names);
    expect((await untilRun(url, token, id)).status).toBe('completed');
    expect(participantsOf((await listAll<RoundView>(url, token, routes.rounds(id)))[0])).toEqual(names);
  });

  it('leaves a record of who was kept out, why, and when that ended', async () => {
    const standing = { suspended: true, reason: 'Rows under review' };
    const free = { suspended: false, reason: null };
    expect(await eventsOf('organisation.reinstated')).toEqual([
      { event: 'organisation.reinstated', details: { name: 'museum' }, before: standing, after: free },
    ]);
    expect(await eventsOf('organisation.suspended')).toEqual([
      { event: 'organisation.suspended', details: { name: 'museum' }, before: free, after: standing },
    ]);
  });

  it('lets a run wait, and says for whom, when too few others are left', async () => {
    await post(routes.organisationSuspend('museum'), {});
    await post(routes.organisationReinstate('museum'));
    const { id } = await start({ organisations: ['bank', 'clinic', 'museum'], rounds: 50 });
    await untilRound(url, token, id, ({ number }) => number === 2);
    await post(routes.organisationSuspend('museum'), {});
    const waiting = await untilRun(url, token, id, ({ reason }) => reason?.includes('suspended') === true);
    expect(waiting).toMatchObject({ status: 'running' });
    expect(waiting.reason).toMatch(/2 of 3 needed are ready. Not ready: museum \(suspended\)/);
    await operate(url, token, 'POST', routes.runStop(id));
    await post(routes.organisationReinstate('museum'));
  });

  it('stays suspended over a restart', async () => {
    await post(routes.organisationSuspend('clinic'), { reason: 'Away' });
    federation.disconnect();
    const { port } = new URL(url);
    await coordinator.close();
    const { federationKey } = federation;
    coordinator = await startCoordinator({
      ...(await databaseSetting(network.folder)),
      dataFolder: network.folder,
      host: '127.0.0.1',
      port: Number(port),
      logLevel: 'silent',
      federationKey,
    });
    expect(await details('clinic')).toMatchObject({ status: 'suspended', suspension: { reason: 'Away' } });
    // What the rounds before had come to is remembered as well.
    expect((await details('bank')).latestRounds.length).toBeGreaterThanOrEqual(5);
  });
});
