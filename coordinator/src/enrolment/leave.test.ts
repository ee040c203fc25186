import {
  routes,
  type AuditLine,
  type OrganisationDetails,
  type Page,
  type RoundRequest,
  type RoundView,
  type RunView,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FakeFederation, FakeOrganisation, untilRound, untilRun } from '../../../test/support/fake-federation.js';
import { startFakeNetwork, stopFakeNetwork, type FakeNetwork } from '../../../test/support/fake-network.js';
import { listAll, operate, send } from '../../../test/support/requests.js';
import { runOfFour } from '../../../test/support/tiny-run.js';

let network: FakeNetwork;
let url: string;
let token: string;
let federation: FakeFederation;

beforeAll(async () => {
  network = await startFakeNetwork(['bank', 'clinic', 'council', 'museum']);
  ({ federation } = network);
  ({ url } = network.coordinator);
  ({ token } = network.admin);
});
afterAll(() => stopFakeNetwork(network));

const start = (changes: object = {}): Promise<RunView> =>
  operate(url, token, 'POST', routes.runs, { ...runOfFour, ...changes });
const details = (name: string): Promise<OrganisationDetails> => operate(url, token, 'GET', routes.organisation(name));
const invite = async (name: string): Promise<string> =>
  (await operate<{ token: string }>(url, token, 'POST', routes.invitations, { name })).token;
const certify = (organisation: FakeOrganisation): Promise<unknown> =>
  operate(url, token, 'POST', routes.organisationCertificate(organisation.name), {
    certificate: federation.certificateOf(organisation),
  });
const departures = async (): Promise<object[]> =>
  (await operate<Page<AuditLine>>(url, token, 'GET', `${routes.audit}?event=organisation.left`)).items.map(
    ({ entry: { event, actor, details: about } }) => ({ event, actor, details: about }),
  );

describe('an organisation that leaves', () => {
  it('is taken out of the open round, is signed out, and the run goes on without it', async () => {
    const museum = federation.organisations[3];
    museum.ignores = ({ phase }: RoundRequest) => phase === 'training';
    const { id } = await start();
    await untilRound(
      url,
      token,
      id,
      ({ participants }) => participants.filter((one) => one.status === 'uploaded').length === 3,
    );
    const gone = museum.untilDisconnected();
    expect((await museum.leave(url)).status).toBe(204);
    await gone;
    expect((await untilRun(url, token, id)).status).toBe('completed');
    const rounds = await listAll<RoundView>(url, token, routes.rounds(id));
    expect(rounds.at(-1)?.participants.find(({ name }) => name === 'museum')).toMatchObject({
      status: 'dropped',
      reason: 'organisation/left',
    });
    expect(rounds[0].participants.map(({ name }) => name)).toEqual(['bank', 'clinic', 'council']);
    expect(await details('museum')).toMatchObject({ status: 'left', connected: false, warnings: [] });
    expect((await details('museum')).leftAt).toBeGreaterThan(0);
    await expect(museum.signIn(url)).rejects.toThrow('organisation/left');
  });

  it('may say so again, and is recorded once, by its own name', async () => {
    expect((await federation.organisations[3].leave(url)).status).toBe(204);
    expect(await departures()).toEqual([
      { event: 'organisation.left', actor: { kind: 'client', name: 'museum' }, details: { name: 'museum' } },
    ]);
  });

  it('is in no new run, and a run that cannot do without it ends and says why', async () => {
    const short = await start({ rounds: 1 });
    expect(short.members).toEqual(['bank', 'clinic', 'council']);
    await untilRun(url, token, short.id);
    const named = await send(url, 'POST', routes.runs, token, { ...runOfFour, organisations: ['bank', 'museum'] });
    expect(named.status).toBe(422);
    const { id } = await start({ rounds: 1000 });
    await untilRound(url, token, id, ({ number }) => number === 2);
    await federation.organisations[2].leave(url);
    const ended = await untilRun(url, token, id);
    expect(ended).toMatchObject({ status: 'failed' });
    expect(ended.reason).toContain('3 organisations are needed, and council left the federation.');
  });

  it('comes back under its name with a new invitation, with the same key or another', async () => {
    const [, , council, museum] = federation.organisations;
    await museum.enrol(url, await invite('museum'));
    await certify(museum);
    expect(await details('museum')).toMatchObject({ status: 'active', leftAt: null, identity: museum.identity });
    expect((await details('museum')).keys).toHaveLength(1);
    await museum.connect(url);

    const other = new FakeOrganisation('council', 'another key');
    await other.enrol(url, await invite('council'));
    await certify(other);
    expect((await details('council')).keys.map(({ identity }) => identity)).toEqual([other.identity, council.identity]);
    await expect(council.signIn(url)).rejects.toThrow('session/unknown-identity');
    expect(await other.signIn(url)).not.toBe('');
  });

  it('cannot be made to by anybody else', async () => {
    const [bank, clinic] = federation.organisations;
    const { nonce } = await operate<{ nonce: string }>(url, '', 'POST', routes.challenge, { identity: bank.identity });
    const forged = clinic.sign(`fedlora/leave/v1\n${bank.identity}\n${nonce}\n`);
    const answer = await send(url, 'POST', routes.leave, undefined, {
      identity: bank.identity,
      nonce,
      signature: forged,
    });
    expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([403, 'crypto/bad-signature']);
    expect((await details('bank')).status).toBe('active');
  });

  it('may leave before it is certified', async () => {
    const school = new FakeOrganisation('school');
    await school.enrol(url, await invite('school'));
    expect((await school.leave(url)).status).toBe(204);
    expect(await details('school')).toMatchObject({ status: 'left' });
  });

  it('is told that nobody knows it, where nobody does', async () => {
    const stranger = new FakeOrganisation('stranger');
    expect((await stranger.leave(url)).status).toBe(403);
  });
});
