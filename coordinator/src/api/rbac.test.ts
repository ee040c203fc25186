import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { permissions, routes, type NewApiToken, type NewUser, type SetupLinkView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeFederation } from '../../../test/support/fake-federation.js';
import { becomeFirstAdmin, signIn } from '../../../test/support/first-admin.js';
import { json, operate, send } from '../../../test/support/requests.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';
import { DEFAULT_RATES } from '../access/rate-limits.js';
import { expectSameRoutes } from '../nest/route-key.js';
import { routeTable } from './routes.js';

/** Everybody who may ask, in the order of the columns below. `scoped`: an operator who is limited to one run; `token`: of an administrator. */
const askers = ['anonymous', 'expired', 'client', 'viewer', 'scoped', 'operator', 'admin', 'token'] as const;
type Asker = (typeof askers)[number];

/**
 * Who may use which route: `+` may, `.` may not. Written by hand, and not from the table that the guard reads: this is what that table
 * is held against. A route without a row here fails the test.
 */
const matrix: Readonly<Record<string, string>> = {
  //                                            anon exp  cli  view scop oper adm  tok
  'POST /api/v1/enrol': '                       +    +    +    +    +    +    +    +',
  'POST /api/v1/session/challenge': '           +    +    +    +    +    +    +    +',
  'POST /api/v1/session': '                     +    +    +    +    +    +    +    +',
  'POST /api/v1/leave': '                       +    +    +    +    +    +    +    +',
  'HEAD /api/v1/rounds/:id/contribution': '     .    .    +    .    .    .    .    .',
  'PATCH /api/v1/rounds/:id/contribution': '    .    .    +    .    .    .    .    .',
  'GET /api/v1/overview': '                     .    .    .    +    +    +    +    +',
  'GET /api/v1/organisations': '                .    .    .    +    +    +    +    +',
  'GET /api/v1/organisations/:name': '          .    .    .    +    +    +    +    +',
  'GET /api/v1/invitations': '                  .    .    .    +    .    +    +    +',
  'DELETE /api/v1/invitations/:id': '           .    .    .    .    .    +    +    +',
  'POST /api/v1/invitations': '                 .    .    .    .    .    +    +    +',
  'POST /api/v1/organisations/:name/certificate': '. . . . . + + +',
  'POST /api/v1/organisations/:name/suspend': ' .    .    .    .    .    +    +    +',
  'POST /api/v1/organisations/:name/reinstate': '. . . . . + + +',
  'DELETE /api/v1/organisations/:name/sessions': '. . . . . + + +',
  'PUT /api/v1/revocations': '                  .    .    .    .    .    +    +    +',
  'POST /api/v1/runs': '                        .    .    .    .    .    +    +    +',
  'POST /api/v1/runs/plan': '                   .    .    .    .    .    +    +    +',
  'GET /api/v1/runs': '                         .    .    .    +    +    +    +    +',
  'GET /api/v1/runs/:id': '                     .    .    .    +    .    +    +    +',
  'GET /api/v1/runs/:id/terms': '               .    .    .    +    .    +    +    +',
  'GET /api/v1/runs/:id/rounds': '              .    .    .    +    .    +    +    +',
  'POST /api/v1/runs/:id/pause': '              .    .    .    .    .    +    +    +',
  'POST /api/v1/runs/:id/resume': '             .    .    .    .    .    +    +    +',
  'POST /api/v1/runs/:id/stop': '               .    .    .    .    .    +    +    +',
  'GET /api/v1/runs/:id/schedule': '            .    .    .    +    .    +    +    +',
  'PUT /api/v1/runs/:id/schedule': '            .    .    .    .    .    +    +    +',
  'POST /api/v1/runs/:id/schedule/preview': '   .    .    .    .    .    +    +    +',
  'GET /api/v1/calendar': '                     .    .    .    +    +    +    +    +',
  'GET /api/v1/versions/:id': '                 .    .    +    +    +    +    +    +',
  'GET /api/v1/versions/:id/files/:file': '     .    .    +    +    +    +    +    +',
  'GET /api/v1/versions/:id/release': '         .    .    .    +    +    +    +    +',
  'GET /api/v1/versions/:id/lineage': '         .    .    .    +    +    +    +    +',
  'GET /api/v1/versions/:id/comparison/:other': '. . . + + + + +',
  'GET /api/v1/versions/:id/outcomes': '        .    .    .    +    +    +    +    +',
  'POST /api/v1/versions/:id/outcomes': '       .    .    .    .    +    +    +    +',
  'GET /api/v1/versions/:id/outcomes/:other': ' .    .    .    +    +    +    +    +',
  'POST /api/v1/versions/:id/audits': '         .    .    .    .    +    +    +    +',
  'POST /api/v1/versions/:id/revocation': '     .    .    .    .    +    +    +    +',
  'PUT /api/v1/versions/:id/deprecation': '     .    .    .    .    +    +    +    +',
  'DELETE /api/v1/versions/:id/deprecation': '  .    .    .    .    +    +    +    +',
  'GET /api/v1/signing-key': '                  .    .    .    +    +    +    +    +',
  'GET /api/v1/repositories': '                 .    .    .    +    +    +    +    +',
  'GET /api/v1/repositories/:owner/:name': '    .    .    .    +    +    +    +    +',
  'GET /api/v1/repositories/:owner/:name/versions': '. . . + + + + +',
  'GET /api/v1/repositories/:owner/:name/outcome-metrics': '. . . + + + + +',
  'PUT /api/v1/repositories/:owner/:name/outcome-metrics': '. . . . + + + +',
  'POST /api/v1/repositories/:owner/:name/merges': '. . . . + + + +',
  'GET /api/v1/repositories/:owner/:name/channels/:channel': '. . . + + + + +',
  'GET /api/v1/repositories/:owner/:name/channels/:channel/moves': '. . . + + + + +',
  'PUT /api/v1/repositories/:owner/:name/channels/:channel': '. . . . + + + +',
  'POST /api/v1/repositories/:owner/:name/channels/:channel/rollback': '. . . . + + + +',
  'DELETE /api/v1/repositories/:owner/:name/channels/:channel': '. . . . + + + +',
  'PUT /api/v1/repositories/:owner/:name/tags/:tag': '. . . . + + + +',
  'DELETE /api/v1/repositories/:owner/:name/tags/:tag': '. . . . + + + +',
  'GET /api/whoami-v2': '                       .    .    .    +    +    +    +    +',
  'GET /api/models': '                          .    .    .    +    +    +    +    +',
  'GET /api/models/:owner/:name': '             .    .    .    +    +    +    +    +',
  'GET /api/models/:owner/:name/revision/:revision': '. . . + + + + +',
  'GET /api/models/:owner/:name/refs': '        .    .    .    +    +    +    +    +',
  'GET /api/models/:owner/:name/tree/:revision': '. . . + + + + +',
  'GET /api/models/:owner/:name/tree/:revision/*folder': '. . . + + + + +',
  'POST /api/models/:owner/:name/paths-info/:revision': '. . . + + + + +',
  'GET /:owner/:name/resolve/:revision/*file': '. . . + + + + +',
  'GET /:owner/:name/raw/:revision/*file': '. . . + + + + +',
  'POST /api/v1/setup': '                       +    +    +    +    +    +    +    +',
  'POST /api/v1/sign-in': '                     +    +    +    +    +    +    +    +',
  'GET /api/v1/sign-in': '                      +    +    +    +    +    +    +    +',
  'POST /api/v1/sign-in/provider': '            +    +    +    +    +    +    +    +',
  'POST /api/v1/sign-in/provider/answer': '     +    +    +    +    +    +    +    +',
  'GET /api/v1/me': '                           .    .    .    +    +    +    +    +',
  'PUT /api/v1/me/password': '                  .    .    .    +    +    +    +    .',
  'POST /api/v1/me/totp': '                     .    .    .    +    +    +    +    .',
  'POST /api/v1/me/totp/confirmation': '        .    .    .    +    +    +    +    .',
  'POST /api/v1/me/totp/removal': '             .    .    .    +    +    +    +    .',
  'GET /api/v1/me/sign-ins': '                  .    .    .    +    +    +    +    .',
  'DELETE /api/v1/me/sign-ins/:id': '           .    .    .    +    +    +    +    .',
  'GET /api/v1/users': '                        .    .    .    .    .    .    +    +',
  'POST /api/v1/users': '                       .    .    .    .    .    .    +    +',
  'GET /api/v1/users/:id': '                    .    .    .    .    .    .    +    +',
  'PATCH /api/v1/users/:id': '                  .    .    .    .    .    .    +    +',
  'POST /api/v1/users/:id/link': '              .    .    .    .    .    .    +    +',
  'DELETE /api/v1/users/:id/sign-ins': '        .    .    .    .    .    .    +    +',
  'GET /api/v1/tokens': '                       .    .    .    .    .    +    +    +',
  'POST /api/v1/tokens': '                      .    .    .    .    .    +    +    +',
  'DELETE /api/v1/tokens/:id': '                .    .    .    .    .    +    +    +',
  'GET /api/v1/audit': '                        .    .    .    .    .    .    +    +',
  'GET /api/v1/audit/export': '                 .    .    .    .    .    .    +    +',
  'GET /api/v1/docs': '                         +    +    +    +    +    +    +    +',
  'GET /api/v1/docs/start.js': '                +    +    +    +    +    +    +    +',
  'GET /api/v1/docs/viewer.js': '               +    +    +    +    +    +    +    +',
  'GET /api/v1/docs/viewer.css': '              +    +    +    +    +    +    +    +',
  'GET /api/v1/openapi.json': '                 +    +    +    +    +    +    +    +',
  'GET /healthz': '                             +    +    +    +    +    +    +    +',
  'GET /readyz': '                              +    +    +    +    +    +    +    +',
  'GET /metrics': '                             +    +    +    +    +    +    +    +',
  // Last, since they end what others ask with.
  'DELETE /api/v1/session': '                   .    .    +    .    .    .    .    .',
  'DELETE /api/v1/sign-in': '                   .    .    .    +    +    +    +    .',
};

/** The guard's answers; anything else is a handler's, so that whoever asked was let in. */
const REFUSALS = ['session/required', 'session/not-allowed', 'access/wrong-scope', 'access/cross-site'];
const PASSWORD = 'correct horse battery';

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const signedInClient = (): Promise<string> => federation.organisations[0].signIn(coordinator.url);

let folder: string;
let coordinator: RunningCoordinator;
const federation = new FakeFederation();
const headersOf = new Map<Asker, Readonly<Record<string, string>>>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-rbac-'));
  let now = Date.now();
  const { federationKey } = federation;
  // Eight sign in and set passwords one after the other: more than one address may.
  const rates = { ...DEFAULT_RATES, secrets: { burst: 1000, perSecond: 1000 } };
  coordinator = await startCoordinator(
    { dataFolder: folder, host: '127.0.0.1', port: 0, logLevel: 'silent', federationKey },
    { now: () => now, rates },
  );
  const { url } = coordinator;
  const first = await becomeFirstAdmin(url, coordinator.setupToken ?? '');
  const user = async (request: NewUser): Promise<Readonly<Record<string, string>>> => {
    const { token } = await operate<SetupLinkView>(url, first.token, 'POST', routes.users, request);
    await json(await send(url, 'POST', routes.setup, undefined, { token, password: PASSWORD }));
    return (await signIn(url, request.name, PASSWORD)).headers;
  };
  headersOf.set('anonymous', {});
  const brief = { name: 'brief', permissions: [...permissions], lifetimeSeconds: 60 };
  headersOf.set('expired', bearer((await operate<NewApiToken>(url, first.token, 'POST', routes.tokens, brief)).token));
  now += 61_000;
  await federation.enrol(url, first.token, ['clinic']);
  headersOf.set('client', bearer(await signedInClient()));
  headersOf.set('viewer', await user({ name: 'viewer', role: 'viewer' }));
  headersOf.set('scoped', await user({ name: 'scoped', role: 'operator', runs: ['run-other'] }));
  headersOf.set('operator', await user({ name: 'operator', role: 'operator' }));
  headersOf.set('admin', first.headers);
  headersOf.set('token', bearer(first.token));
});
afterAll(async () => {
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

describe('who may use which route', () => {
  it('is written down here for every route, and for nothing else', () => {
    expect(Object.keys(matrix).sort()).toEqual(Object.keys(routeTable).sort());
  });

  it.each(Object.entries(matrix))('%s', async (key, row) => {
    const marks = row.trim().split(/\s+/);
    expect(marks).toHaveLength(askers.length);
    const [method, pattern] = key.split(' ');
    const path = pattern.replaceAll(/[:*]\w+/g, 'nothing-of-this-name');
    const seen: string[] = [];
    for (const asker of askers) {
      const body = method === 'GET' || method === 'HEAD' || method === 'DELETE' ? undefined : {};
      const answer = await send(coordinator.url, method, path, undefined, body, headersOf.get(asker));
      const text = await answer.text();
      const isProblem = answer.headers.get('content-type')?.startsWith('application/problem+json') === true;
      // A HEAD has no body: its status says it.
      const code = isProblem && text !== '' ? (JSON.parse(text) as { code: string }).code : '';
      expect(answer.status, `${asker}: ${code}`).toBeLessThan(500);
      const isRefused = method === 'HEAD' ? [401, 403].includes(answer.status) : REFUSALS.includes(code);
      seen.push(isRefused ? '.' : '+');
      if (!isRefused) continue;
      const isUnknown = asker === 'anonymous' || asker === 'expired';
      expect(answer.status, asker).toBe(isUnknown ? 401 : 403);
    }
    if (key === 'DELETE /api/v1/session') headersOf.set('client', bearer(await signedInClient()));
    expect(Object.fromEntries(askers.map((asker, i) => [asker, seen[i]]))).toEqual(
      Object.fromEntries(askers.map((asker, i) => [asker, marks[i]])),
    );
  });

  it('is asked at the start: a route without a row, or a row without a route, does not start', () => {
    class Empty {}
    expect(() => expectSameRoutes([Empty], { 'GET /nothing': {} })).toThrow('without a route: GET /nothing');
  });
});
