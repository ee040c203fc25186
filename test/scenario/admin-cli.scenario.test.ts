/** An operator at a command line: `fedlora admin` against a coordinator. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
import { FakeFederation, FakeOrganisation } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';

const description = {
  title: 'A run',
  rounds: 20,
  base: {
    name: 'tiny',
    digest: 'b'.repeat(64),
    shape: {
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 2,
    },
  },
  adapter: { rule: 'ffa-svd', r: 4, lora_alpha: 8, target_modules: ['q_proj'], rebaseEvery: 0 },
  data: { format: 'alpaca', maximumLength: 64 },
  privacy: { unit: 'record', l2Bound: 1, noiseMultiplier: 1, delta: 1e-5, assumedColluders: 1 },
  training: { kind: 'record-step', samplingRate: 0.05, expectedRecords: 30, maximumRecords: 50 },
  server: { kind: 'adam', learningRate: 0.01, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
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
