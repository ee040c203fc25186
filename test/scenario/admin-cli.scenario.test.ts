/** An operator at a command line: `fedlora admin` against a coordinator. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiTokenView, NewApiToken, OrganisationView, SetupLinkView, UserView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from '../../client/src/cli/program.js';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { FakeFederation, FakeOrganisation } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';

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

  it('exports the audit log and checks it, and finds a changed line', async () => {
    const { out } = await run(['audit', 'export']);
    const file = join(folder, 'audit.jsonl');
    await writeFile(file, out);
    const checked = await run(['audit', 'verify', file]);
    expect(checked).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+:[0-9a-f]{64}\n$/) as string });
    await answer(['organisations', 'invite', 'bank']);
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
