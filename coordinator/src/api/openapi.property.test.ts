/**
 * Requests made from the OpenAPI document, good and bad, against the coordinator that serves it: whatever comes, no answer is a failure
 * of ours, and each is one that the document says there is, of the type and the shape it says.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeFederation } from '../../../test/support/fake-federation.js';
import { becomeFirstAdmin } from '../../../test/support/first-admin.js';
import { json, send } from '../../../test/support/requests.js';
import { arbitraryOf, violation } from '../../../test/support/json-schema.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';
import type { OpenApi, Operation } from './openapi.js';

/** Of the whole, not of each operation; the machine may be busy with other things. */
const BUDGET_MS = 20_000;
/** Not asked: these end what the others ask with. */
const UNASKED = ['deleteSignIn', 'deleteUsersIdSignIns'];

let folder: string;
let coordinator: RunningCoordinator;
let document: OpenApi;
let token: string;
let cookie: Readonly<Record<string, string>>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-openapi-'));
  const federation = new FakeFederation();
  const { federationKey } = federation;
  const plenty = { burst: 1e6, perSecond: 1e6 };
  coordinator = await startCoordinator(
    { dataFolder: folder, host: '127.0.0.1', port: 0, logLevel: 'silent', federationKey },
    { rates: { address: plenty, secrets: plenty, identity: plenty } },
  );
  const admin = await becomeFirstAdmin(coordinator.url, coordinator.setupToken ?? '');
  ({ token } = admin);
  cookie = admin.headers;
  await federation.enrol(coordinator.url, token, ['clinic', 'bank']);
  document = await json<OpenApi>(await send(coordinator.url, 'GET', '/api/v1/openapi.json'));
});
afterAll(async () => {
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

interface Try {
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly contentType: string;
  readonly asker: 'token' | 'cookie' | 'nobody';
}

/** Mostly what the document allows, and sometimes anything. */
function tryOf(operation: Operation): fc.Arbitrary<Try> {
  const valuesOf = (where: string): fc.Arbitrary<Record<string, unknown>> =>
    fc.record(
      Object.fromEntries(
        operation.parameters
          .filter((parameter) => parameter.in === where)
          .map(({ name, schema }) => [name, fc.oneof({ weight: 4, arbitrary: arbitraryOf(schema) }, fc.string())]),
      ),
      where === 'path' ? {} : { requiredKeys: [] },
    );
  const schema = operation.requestBody?.content['application/json'].schema;
  return fc.record({
    // Nothing, one dot and two dots name other addresses.
    path: valuesOf('path').map((values) =>
      Object.fromEntries(Object.entries(values).map(([k, v]) => [k, String(v).replace(/^\.{0,2}$/, 'x')])),
    ),
    query: valuesOf('query'),
    headers: valuesOf('header').map((values) =>
      // What no HTTP client could send is no try of ours.
      Object.fromEntries(
        Object.entries(values).filter(([, value]) => /^[!-~]+$/.test(String(value))) as [string, string][],
      ),
    ),
    body:
      schema === undefined
        ? fc.constant(undefined)
        : fc.oneof({ weight: 6, arbitrary: arbitraryOf(schema) }, { weight: 1, arbitrary: fc.jsonValue() }),
    contentType: fc.oneof(
      { weight: 12, arbitrary: fc.constant('application/json') },
      fc.constantFrom('text/plain', 'application/xml', 'application/json; charset=utf-7'),
    ),
    asker: fc.oneof(
      {
        weight: 8,
        arbitrary: fc.constant<Try['asker']>(operation.security.some((one) => 'token' in one) ? 'token' : 'cookie'),
      },
      fc.constantFrom<Try['asker']>('token', 'cookie', 'nobody'),
    ),
  });
}

/** Nothing but what is needed, all of it as the document says. */
function goodTryOf({ parameters, requestBody, security }: Operation): Try {
  const schema = requestBody?.content['application/json'].schema;
  return {
    path: Object.fromEntries(parameters.filter((one) => one.in === 'path').map(({ name }) => [name, 'x'])),
    query: {},
    headers: {},
    body: schema === undefined ? undefined : fc.sample(arbitraryOf(schema), 1)[0],
    contentType: 'application/json',
    asker: security.some((one) => 'token' in one) ? 'token' : 'cookie',
  };
}

async function ask(method: string, address: string, one: Try): Promise<Response> {
  const path = address.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(one.path[name]));
  const query = Object.entries(one.query).filter(([, value]) => value !== null && value !== undefined);
  const all: Readonly<Record<Try['asker'], Readonly<Record<string, string>>>> = {
    token: { authorization: `Bearer ${token}` },
    cookie,
    nobody: {},
  };
  const credentials = all[one.asker];
  const hasBody = one.body !== undefined && method !== 'get' && method !== 'head';
  return fetch(`${coordinator.url}${path}?${new URLSearchParams(query.map(([k, v]) => [k, String(v)])).toString()}`, {
    method: method.toUpperCase(),
    redirect: 'manual',
    headers: { ...one.headers, ...credentials, ...(hasBody ? { 'content-type': one.contentType } : {}) },
    ...(hasBody ? { body: JSON.stringify(one.body) } : {}),
  });
}

describe('the OpenAPI document', () => {
  it('describes every route, with names that are given once', () => {
    const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
    expect(document.openapi).toBe('3.1.0');
    expect(operations.length).toBeGreaterThan(40);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/#\/components\/schemas\/(\w+)/g))
      expect(document.components.schemas).toHaveProperty(name);
  });

  it(
    'holds for whatever is asked: no failure of ours, and no answer of a status, type or shape that it does not have',
    async () => {
      const endsAt = performance.now() + BUDGET_MS;
      const asked = new Map<string, Set<number>>();
      const operations = Object.entries(document.paths)
        .flatMap(([address, methods]) =>
          Object.entries(methods).map(([method, operation]) => ({ address, method, operation })),
        )
        .filter(({ operation }) => !UNASKED.includes(operation.operationId));
      // In turns, so that the last operation is asked as often as the first when time is short; each in the first, however long it takes.
      for (let turn = 0; turn === 0 || performance.now() < endsAt; turn += 1) {
        for (const { address, method, operation } of operations) {
          if (turn > 0 && performance.now() > endsAt) break;
          const statuses = asked.get(operation.operationId) ?? new Set<number>();
          asked.set(operation.operationId, statuses);
          await fc.assert(
            fc.asyncProperty(tryOf(operation), async (one) => {
              const answer = await ask(method, address, one);
              const text = await answer.text();
              statuses.add(answer.status);
              const { status } = answer;
              expect(status, text).toBeLessThan(500);
              const documented = operation.responses[status] as (typeof operation.responses)[string] | undefined;
              expect(documented, `${method} ${address} answered ${status}: ${text}`).toBeDefined();
              const types = Object.keys(documented?.content ?? {});
              if (text === '') {
                expect(types.filter((type) => type.endsWith('json'))).toEqual([]);
                return;
              }
              const type = (answer.headers.get('content-type') ?? '').split(';')[0];
              expect(types, `of ${status}`).toContain(type);
              if (!type.endsWith('json')) return;
              const { schema } = (documented?.content ?? {})[type];
              expect(violation(JSON.parse(text), schema, document.components.schemas)).toBeUndefined();
            }),
            // A good request first, so that what good ones get does not depend on chance.
            { numRuns: 5, endOnFailure: true, examples: [[goodTryOf(operation)]] },
          );
        }
      }
      expect(asked.size).toBe(operations.length);
      // Good requests are among them: what can be asked with nothing but a permission was answered.
      for (const name of ['getRuns', 'getAudit', 'postUsers', 'postTokens', 'postInvitations', 'postSessionChallenge'])
        expect(
          [...(asked.get(name) ?? [])].some((status) => status < 300),
          name,
        ).toBe(true);
    },
    BUDGET_MS * 3,
  );
});
