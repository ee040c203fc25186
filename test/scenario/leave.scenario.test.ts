/** An owner leaves the federation: with a client that runs, with a coordinator that cannot be reached, and for good. */

import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { certifyMember } from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import { routes, type OrganisationDetails } from '@fedlora/shared';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leaveHome } from '../../client/src/cli/leave-home.js';
import { homeAt, type Home } from '../../client/src/config/home.js';
import { startDaemon } from '../../client/src/daemon/start.js';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { fedlora, type Printed } from '../support/command-line.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { operate } from '../support/requests.js';

/** What the status page on a socket answers. */
async function statusPage(socketPath: string): Promise<unknown> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ socketPath, path: '/status.json', agent: false }, resolve).on('error', reject);
  });
  return json(response);
}

describe('fedlora leave', () => {
  const seed = seededRandom('federation')(32);
  const federationKey = Buffer.from(nodeProvider.ed25519.publicKey(seed)).toString('hex');
  let folder: string;
  let coordinator: RunningCoordinator;
  let token: string;
  let port = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-leave-'));
    await startIt();
    ({ token } = await becomeFirstAdmin(coordinator.url, coordinator.setupToken ?? ''));
  });
  afterAll(async () => {
    await coordinator.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function startIt(): Promise<void> {
    const dataFolder = join(folder, 'coordinator');
    coordinator = await startCoordinator({ dataFolder, host: '127.0.0.1', port, logLevel: 'silent', federationKey });
    port = Number(new URL(coordinator.url).port);
  }
  const details = (name: string): Promise<OrganisationDetails> =>
    operate(coordinator.url, token, 'GET', routes.organisation(name));
  const leave = (home: Home, ...more: string[]): Promise<Printed> =>
    fedlora(['leave', '--home', home.directory, ...more]);

  async function enrol(name: string): Promise<Home> {
    const { url } = coordinator;
    const home = homeAt(join(folder, name));
    const invitation = await operate<{ token: string }>(url, token, 'POST', routes.invitations, { name });
    const enrolled = await fedlora(
      ['enrol', url, '--name', name, '--federation-key', federationKey, '--home', home.directory],
      { environment: { FEDLORA_TOKEN: invitation.token } },
    );
    expect(enrolled).toMatchObject({ code: 0, error: '' });
    const { identity } = await details(name);
    const certificate = certifyMember(nodeProvider, seed, { name, identity });
    await operate(url, token, 'POST', routes.organisationCertificate(name), { certificate });
    return home;
  }

  it('stops the client that runs, tells the coordinator, keeps everything and says where', async () => {
    const home = await enrol('clinic');
    await appendFile(home.config, 'statusPage: unix:status.sock\n');
    const daemon = await startDaemon(home, { log: pino({ level: 'silent' }) });
    await expect.poll(async () => (await details('clinic')).connected).toBe(true);
    const said = async (): Promise<unknown> =>
      JSON.parse((await fedlora(['status', '--json', '--home', home.directory])).out);
    await expect.poll(said).toMatchObject({ state: 'idle' });
    expect(await statusPage(join(home.directory, 'status.sock'))).toEqual(await said());
    const left = await leave(home);
    await daemon.stopped;
    expect(left.code).toBe(0);
    expect(left.out).toContain('clinic has left the federation');
    expect(left.out).toContain(home.identity);
    expect(left.out).toContain(home.ledgers);
    expect(left.error).toContain('ends its part of the round and stops');
    expect(await details('clinic')).toMatchObject({ status: 'left', connected: false });
    expect(existsSync(home.identity)).toBe(true);
    expect((await fedlora(['status', '--home', home.directory])).out).toContain('has left the federation');
    await expect(startDaemon(home)).rejects.toMatchObject({ code: 'client/left' });
    expect(await leave(home)).toMatchObject({ code: 0 });
  });

  it('takes an organisation in again that was invited again, with its key, settings and policy', async () => {
    const home = homeAt(join(folder, 'clinic'));
    const before = await readFile(home.identity, 'utf8');
    await writeFile(home.policy, (await readFile(home.policy, 'utf8')).replace('epsilonCap: 8', 'epsilonCap: 3'));
    await writeFile(home.config, (await readFile(home.config, 'utf8')).replace('keepVersions: 3', 'keepVersions: 7'));
    await enrol('clinic');
    expect(await readFile(home.config, 'utf8')).toContain('keepVersions: 7');
    expect(await readFile(home.identity, 'utf8')).toBe(before);
    expect(await readFile(home.policy, 'utf8')).toContain('epsilonCap: 3');
    const daemon = await startDaemon(home, { log: pino({ level: 'silent' }) });
    await expect.poll(async () => (await details('clinic')).connected).toBe(true);
    await daemon.stop();
    await daemon.stopped;
  });

  it('says what is still to do where the coordinator cannot be reached, and does it later', async () => {
    const home = await enrol('bank');
    await coordinator.close();
    const untold = await leave(home);
    expect(untold.code).toBe(1);
    expect(untold.error).toContain('[client/departure-untold]');
    expect(untold.error).toContain('Run `fedlora leave` again');
    await expect(startDaemon(home)).rejects.toMatchObject({ code: 'client/left' });
    expect((await fedlora(['status', '--home', home.directory])).out).toContain('has not been told');
    // Without its key the coordinator could never be told.
    expect((await leave(home, '--forget', '--yes')).code).toBe(1);
    expect(existsSync(home.identity)).toBe(true);
    await startIt();
    expect((await details('bank')).status).toBe('active');
    expect((await leave(home)).code).toBe(0);
    expect((await details('bank')).status).toBe('left');
  });

  it('removes the keys only if that is confirmed, never the ledger, and may be run again after that', async () => {
    const home = await enrol('council');
    const refused = await fedlora(['leave', '--forget', '--home', home.directory], { ask: async () => 'yes' });
    expect(refused.code).toBe(20);
    expect(refused.error).toContain('[client/not-confirmed]');
    expect((await details('council')).status).toBe('active');
    const done = await fedlora(['leave', '--forget', '--home', home.directory], { ask: async () => 'council' });
    expect(done.code).toBe(0);
    expect(existsSync(home.identity)).toBe(false);
    expect(existsSync(home.ledgers)).toBe(true);
    expect((await details('council')).status).toBe('left');
    expect((await leave(home, '--forget', '--yes')).code).toBe(0);
  });

  it('says so when the client that runs does not stop', async () => {
    const home = await enrol('museum');
    await writeFile(home.lock, `${process.pid}\n`);
    const leaving = leaveHome({ home, environment: {}, forget: false, onWaiting: () => undefined, patienceMs: 1 });
    await expect(leaving).rejects.toMatchObject({ code: 'client/still-running' });
    await rm(home.lock);
    expect((await leave(home)).code).toBe(0);
  });
});
