/** An operator at a command line: `fedlora admin` against a coordinator. */

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type {
  ApiTokenView,
  InvitationResponse,
  InvitationView,
  CalendarView,
  NewApiToken,
  OrganisationView,
  ReleaseView,
  RepositoryView,
  RunPlanView,
  RunView,
  SchedulePreview,
  SetupLinkView,
  UserView,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '../../client/src/cli/program.js';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { fedlora, type Printed } from '../support/command-line.js';
import { FakeFederation, FakeOrganisation } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { privateRun } from '../support/tiny-run.js';

const description = {
  ...privateRun,
  rounds: 20,
};

describe('fedlora admin', () => {
  const federation = new FakeFederation();
  let folder: string;
  let coordinator: RunningCoordinator;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-admin-'));
    const { federationKey } = federation;
    const dataFolder = join(folder, 'coordinator');
    coordinator = await startCoordinator({ dataFolder, host: '127.0.0.1', port: 0, logLevel: 'silent', federationKey });
    const { token } = await becomeFirstAdmin(coordinator.url, coordinator.setupToken ?? '');
    environment = { FEDLORA_COORDINATOR: coordinator.url, FEDLORA_API_TOKEN: token };
  });
  afterAll(async () => {
    await coordinator.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function run(
    args: readonly string[],
    own = environment,
  ): Promise<{ code: number; out: string; error: string }> {
    let out = '';
    let error = '';
    const code = await runCommand(['admin', ...args], {
      out: (line) => (out += `${line}\n`),
      write: (text) => (out += text),
      error: (line) => (error += `${line}\n`),
      progress: () => undefined,
      environment: own,
      readInput: () => Promise.resolve(''),
      askSecret: () => Promise.resolve(undefined),
      ask: () => Promise.resolve(undefined),
    });
    return { code, out, error };
  }

  async function answer<Answer>(args: readonly string[]): Promise<Answer> {
    const { code, out, error } = await run(args);
    expect(error).toBe('');
    expect(code).toBe(0);
    return (out === '' ? undefined : JSON.parse(out)) as Answer;
  }

  it('invites an organisation, certifies it and signs it out', async () => {
    const { token } = await answer<{ token: string }>(['organisations', 'invite', 'clinic']);
    const clinic = new FakeOrganisation('clinic');
    await clinic.enrol(coordinator.url, token);
    await answer(['organisations', 'certify', 'clinic', federation.certificateOf(clinic)]);
    const [listed] = await answer<OrganisationView[]>(['organisations', 'list']);
    expect(listed).toMatchObject({ name: 'clinic', status: 'active', identity: clinic.identity });
    await clinic.connect(coordinator.url);
    const ended = clinic.untilDisconnected();
    await answer(['organisations', 'sign-out', 'clinic']);
    expect(await ended).toBe('io server disconnect');
  });

  it('suspends an organisation and reinstates it, and shows how it stands', async () => {
    const suspended = ['organisations', 'suspend', 'clinic', '--reason', 'Rows under review'];
    expect(await answer(suspended)).toMatchObject({ status: 'suspended', suspension: { reason: 'Rows under review' } });
    expect(await answer(['organisations', 'show', 'clinic'])).toMatchObject({ status: 'suspended', keys: [{}] });
    expect(await answer(['organisations', 'reinstate', 'clinic'])).toMatchObject({ status: 'active' });
    expect((await run(['organisations', 'reinstate', 'clinic'])).error).toContain('[organisation/not-suspended]');
  });

  it('lists invitations, and withdraws one that nobody has used', async () => {
    const { id, expiresAt } = await answer<InvitationResponse>(['organisations', 'invite', 'museum', '--hours', '2']);
    expect((expiresAt - Date.now()) / 3600_000).toBeCloseTo(2, 1);
    await answer(['organisations', 'withdraw', id]);
    const listed = await answer<InvitationView[]>(['organisations', 'invitations']);
    expect(listed.map(({ name, status }) => [name, status])).toEqual([
      ['museum', 'withdrawn'],
      ['clinic', 'used'],
    ]);
    expect((await run(['organisations', 'withdraw', listed[1].id])).error).toContain('[enrol/invitation-ended]');
  });

  it('makes, changes and links users', async () => {
    const { user } = await answer<SetupLinkView>(['users', 'create', 'ada', '--role', 'operator', '--run', 'run-1']);
    expect(user).toMatchObject({ role: 'operator', runs: ['run-1'], hasPassword: false });
    const changed = await answer<UserView>(['users', 'change', user.id, '--role', 'viewer', '--disabled', 'yes']);
    expect(changed).toMatchObject({ role: 'viewer', runs: ['run-1'], disabled: true });
    expect((await answer<SetupLinkView>(['users', 'link', user.id])).token).toMatch(/^[\w-]{43}$/);
    expect((await answer<UserView[]>(['users', 'list'])).map(({ name }) => name)).toEqual(['ada', 'admin']);
  });

  it('makes a token that is used from a file, until it is revoked', async () => {
    const token = await answer<NewApiToken>(['tokens', 'create', 'ci', '--permission', 'runs.read', '--days', '1']);
    expect(token.expiresAt - token.createdAt).toBe(24 * 3600_000);
    const file = join(folder, 'token');
    await writeFile(file, `${token.token}\n`);
    const own = { FEDLORA_COORDINATOR: coordinator.url };
    expect(await run(['runs', 'list', '--token-file', file], own)).toMatchObject({ code: 0, out: '[]\n' });
    const refused = await run(['users', 'list', '--token-file', file], own);
    expect(refused.code).toBe(1);
    expect(refused.error).toContain('[session/not-allowed]');
    await answer(['tokens', 'revoke', token.id]);
    expect((await run(['runs', 'list', '--token-file', file], own)).error).toContain('[session/required]');
    expect((await answer<ApiTokenView[]>(['tokens', 'list'])).map(({ name }) => name)).not.toContain('ci');
  });

  it('plans a run, says everything that is wrong with it, starts, pauses and resumes it', async () => {
    const bank = new FakeOrganisation('bank');
    await bank.enrol(coordinator.url, (await answer<{ token: string }>(['organisations', 'invite', 'bank'])).token);
    await answer(['organisations', 'certify', 'bank', federation.certificateOf(bank)]);
    const file = join(folder, 'run.json');
    await writeFile(file, JSON.stringify(description));
    const planned = await run(['runs', 'plan', file, '--cap', '2', '--cap', '8']);
    expect(planned).toMatchObject({ code: 0, error: '' });
    expect(planned.out).toMatch(/Organisations +2: bank, clinic/);
    expect(planned.out).toMatch(/Epsilon 8 +\d+ rounds fit/);
    for (const line of planned.out.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    const { plan } = await answer<RunPlanView>(['runs', 'plan', file, '--json']);
    expect(plan).toMatchObject({ threshold: 2, dropoutsSurvived: 0, caps: [] });
    expect(await answer(['runs', 'list'])).toEqual([]);

    const wrong = { ...description, threshold: 7, privacy: { ...description.privacy, delta: 0 } };
    await writeFile(file, JSON.stringify(wrong));
    const refused = await run(['runs', 'plan', file]);
    expect(refused.out).toContain('Wrong: threshold:');
    expect(refused.out).toContain('Wrong: privacy.delta:');
    expect(refused.error).toContain('[run/invalid-description]');
    expect(refused.code).toBe(1);
    expect((await run(['runs', 'plan', file, '--cap', 'much'])).error).toContain('--cap');

    await writeFile(file, JSON.stringify(description));
    const { id } = await answer<RunView>(['runs', 'start', file]);
    expect(await answer(['runs', 'pause', id])).toMatchObject({ status: 'paused' });
    expect(await answer(['runs', 'pause', id, '--abort-round'])).toMatchObject({ status: 'paused' });
    expect(await answer(['runs', 'resume', id])).toMatchObject({ status: 'running' });
    expect((await run(['runs', 'resume', id])).error).toContain('[run/not-paused]');
    expect(await answer(['runs', 'stop', id])).toMatchObject({ status: 'stopped' });
  });

  it('releases a version: shows why the gate is not passed, promotes it with a reason, deprecates and revokes it', async () => {
    const [repository] = await answer<RepositoryView[]>(['versions', 'repositories']);
    expect(repository).toMatchObject({
      name: 'fedlora/a-run',
      versions: 1,
      channels: [{ name: 'candidate', version: null }],
    });
    const [version] = await answer<ReleaseView[]>(['versions', 'list', repository.name]);
    expect(version.gate.outcome).toBe('failed');
    const refused = await run(['versions', 'promote', repository.name, version.id]);
    expect(refused.code).toBe(1);
    expect(refused.error).toContain('nothing was trained yet');
    expect(refused.error).toContain('[channel/gate]');
    const promote = ['versions', 'promote', repository.name, version.id, '--override', 'to try it out'];
    expect(await answer(promote)).toMatchObject({ name: 'stable', version: version.id });
    expect((await run(['versions', 'roll-back', repository.name, '--seen', 'f'.repeat(40)])).error).toContain(
      '[request/changed]',
    );
    expect((await run(['versions', 'roll-back', repository.name, '--seen', version.id])).error).toContain(
      '[channel/no-previous]',
    );
    expect(await answer(['versions', 'history', repository.name])).toMatchObject([
      { kind: 'promoted', gate: 'failed', reason: 'to try it out' },
    ]);
    expect(await answer(['versions', 'lineage', version.id])).toHaveLength(1);
    expect(await answer(['versions', 'compare', version.id, version.id])).toMatchObject({ commonAncestor: version.id });
    const counts = { seal: 'a'.repeat(64), canaries: 40, guesses: 20, right: 12 };
    const report = join(folder, 'audit.json');
    await writeFile(report, JSON.stringify({ ...counts, versionId: version.id, exposure: { mean: 1 } }));
    const audited = await answer<ReleaseView>(['versions', 'audit', version.id, report]);
    expect(audited.audits).toMatchObject([{ ...counts, epsilonLowerBound: 0 }]);
    const ofAnother = await run(['versions', 'audit', 'f'.repeat(40), report]);
    expect(ofAnother.error).toContain(`It is about ${version.id}.`);
    expect(ofAnother.code).toBe(20);
    await writeFile(report, '{"rows":[]}');
    expect((await run(['versions', 'audit', version.id, report])).error).toContain('It is no report of');
    const deprecated = await answer<ReleaseView>([
      'versions',
      'deprecate',
      version.id,
      '--note',
      'wait for a trained one',
    ]);
    expect(deprecated.deprecated).toMatchObject({ reason: 'wait for a trained one' });
    expect(await answer(['versions', 'undeprecate', version.id])).toMatchObject({ deprecated: null });
    expect(
      await answer([
        'versions',
        'promote',
        repository.name,
        version.id,
        '--channel',
        'beta',
        '--override',
        'for the test',
      ]),
    ).toMatchObject({ name: 'beta' });
    await answer(['versions', 'remove-channel', repository.name, 'beta']);
    expect(await answer(['versions', 'tag', repository.name, version.id, 'v0'])).toMatchObject({ version: version.id });
    await answer(['versions', 'untag', repository.name, 'v0']);
    expect(await answer(['versions', 'revoke', version.id, '--reason', 'a mistake'])).toMatchObject({
      revoked: { reason: 'a mistake' },
      channels: [],
    });
  });

  it('sets, shows, previews and removes a schedule, and prints the calendar', async () => {
    const file = join(folder, 'run.json');
    await writeFile(file, JSON.stringify(description));
    const { id } = await answer<RunView>(['runs', 'start', file]);
    const schedule = join(folder, 'schedule.json');
    await writeFile(schedule, JSON.stringify({ timeZone: 'Europe/Berlin', cron: '0 3 * * *' }));
    const preview = await answer<SchedulePreview>(['schedules', 'preview', id, schedule]);
    expect([preview.problems, preview.next.length]).toEqual([[], 5]);
    const { tag } = await answer<{ tag: string }>(['schedules', 'show', id]);
    await answer(['schedules', 'set', id, schedule, '--if-match', tag]);
    expect((await run(['schedules', 'set', id, schedule, '--if-match', tag])).error).toContain('[request/changed]');
    expect(await answer(['schedules', 'show', id])).toMatchObject({ schedule: { cron: '0 3 * * *' } });
    const { planned } = await answer<CalendarView>(['schedules', 'calendar', '--run', id]);
    expect(planned.slice(0, 5)).toEqual(preview.next.map((one) => ({ runId: id, ...one })));
    const day = ['--from', '2026-01-01T00:00Z', '--to', '2026-01-02'];
    expect(await answer(['schedules', 'calendar', ...day])).toMatchObject({ from: Date.UTC(2026), planned: [] });
    expect((await run(['schedules', 'calendar', '--from', 'yesterday'])).error).toContain('2026-12-24T18:00Z');
    await writeFile(schedule, JSON.stringify({ cron: 'at night' }));
    expect((await run(['schedules', 'set', id, schedule])).error).toMatch(
      /cron must have five fields.*schedule\/invalid/s,
    );
    expect(await answer(['schedules', 'remove', id])).toMatchObject({ schedule: null });
    await answer(['runs', 'stop', id]);
  });

  it('exports the audit log and checks it, and finds a changed line', async () => {
    const { out } = await run(['audit', 'export']);
    const file = join(folder, 'audit.jsonl');
    await writeFile(file, out);
    const checked = await run(['audit', 'verify', file]);
    expect(checked).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+:[0-9a-f]{64}\n$/) as string });
    await answer(['organisations', 'invite', 'council']);
    const head = checked.out.trim();
    const rest = join(folder, 'rest.jsonl');
    await writeFile(rest, (await run(['audit', 'export', '--after', head.split(':')[0]])).out);
    expect((await run(['audit', 'verify', rest, '--after', head])).code).toBe(0);
    expect((await run(['audit', 'verify', rest])).code).toBe(23);
    await writeFile(file, out.replace('"name":"clinic"', '"name":"clinik"'));
    const broken = await run(['audit', 'verify', file]);
    expect(broken.code).toBe(23);
    expect(broken.error).toContain('was changed');
  });

  it.each<[string, string[], Record<string, string>, string]>([
    ['no address', ['runs', 'list'], {}, '--url'],
    ['an address without TLS', ['runs', 'list', '--url', 'http://example.org'], {}, 'https'],
    ['no token', ['runs', 'list'], { FEDLORA_COORDINATOR: 'http://127.0.0.1:1' }, '--token-file'],
    ['a permission that is none', ['tokens', 'create', 'x', '--permission', 'everything'], {}, 'no permission'],
    ['a description that is no file', ['runs', 'start', '/nowhere.json'], {}, 'nowhere.json'],
  ])('says what is missing with %s', async (what, args, own, text) => {
    const { code, error } = await run(
      args,
      what.startsWith('a permission') || what.startsWith('a desc') ? environment : own,
    );
    expect(code).toBe(20);
    expect(error).toContain(text);
  });
});

describe('fedlora admin set-up', () => {
  const federation = new FakeFederation();
  let folder: string;
  let coordinator: RunningCoordinator;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-set-up-'));
    const { federationKey } = federation;
    const dataFolder = join(folder, 'coordinator');
    coordinator = await startCoordinator({ dataFolder, host: '127.0.0.1', port: 0, logLevel: 'silent', federationKey });
  });
  afterAll(async () => {
    await coordinator.close();
    await rm(folder, { recursive: true, force: true });
  });

  const setUp = (link: string, password: string, file: string): Promise<Printed> =>
    fedlora(['admin', 'set-up', link, '--token-file', join(folder, file)], { readInput: async () => `${password}\n` });

  it('makes an administrator and a token, once, and spends no link on what cannot work', async () => {
    const link = `${coordinator.url}/#setup=${coordinator.setupToken}`;
    expect((await setUp(coordinator.url, 'correct horse battery', 'token')).error).toContain('Give the whole link');
    expect((await setUp(link.replace('127.0.0.1', '10.0.0.1'), 'correct horse battery', 'token')).code).toBe(20);
    expect((await setUp(link, '', 'token')).error).toContain('The password is missing.');
    expect((await setUp(link, 'short', 'token')).error).toContain('[access/weak-password]');
    await writeFile(join(folder, 'taken'), 'mine');
    expect((await setUp(link, 'correct horse battery', 'taken')).error).toContain('[data/output-exists]');
    expect(await setUp(link, 'correct horse battery', 'token')).toMatchObject({ code: 0, error: '' });
    expect((await setUp(link, 'correct horse battery', 'again')).error).toContain('[access/link-spent]');
    const token = ['--token-file', join(folder, 'token')];
    const environment = { FEDLORA_COORDINATOR: coordinator.url };
    const users = await fedlora(['admin', 'users', 'list', ...token], { environment });
    expect(JSON.parse(users.out)).toMatchObject([{ name: 'admin', role: 'admin' }]);
    const out = join(folder, 'invitation');
    const invited = await fedlora(['admin', 'organisations', 'invite', 'clinic', '--out', out, ...token], {
      environment,
    });
    expect(invited).toMatchObject({ code: 0 });
    const written = (await readFile(out, 'utf8')).trim();
    expect(invited.out).not.toContain(written);
    expect((await stat(out)).mode & 0o077).toBe(0);
  });

  it('drafts a run that a plan finds nothing wrong with, with noise for the rows there are', async () => {
    const draft = async (rows: string): Promise<{ privacy: { noiseMultiplier: number } }> => {
      const base = resolve(import.meta.dirname, '../../deploy/demo/base');
      const { out } = await fedlora(['admin', 'runs', 'draft', '--base', base, '--organisations', '3', '--rows', rows]);
      return JSON.parse(out) as { privacy: { noiseMultiplier: number } };
    };
    const few = await draft('300');
    const many = await draft('30000');
    expect(few.privacy.noiseMultiplier).toBeGreaterThan(2 * many.privacy.noiseMultiplier);
    await federation.enrol(coordinator.url, (await readFile(join(folder, 'token'), 'utf8')).trim(), [
      'bank',
      'clinic',
      'council',
    ]);
    const file = join(folder, 'run.json');
    await writeFile(file, JSON.stringify(few));
    const environment = { FEDLORA_COORDINATOR: coordinator.url };
    const args = ['admin', 'runs', 'plan', file, '--cap', '8', '--json', '--token-file', join(folder, 'token')];
    const planned = JSON.parse((await fedlora(args, { environment })).out) as RunPlanView;
    expect(planned.plan).not.toBeNull();
  });
});
