import {
  routes,
  type AuditLine,
  type NewApiToken,
  type OutcomeComparisonView,
  type OutcomeMetricsView,
  type OutcomesView,
  type Page,
  type RunView,
} from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fedlora } from '../../../test/support/command-line.js';
import { measuredRun, ReleaseNetwork } from '../../../test/support/release-network.js';
import { send } from '../../../test/support/requests.js';

const SUPPORT = 'city/support';
const ACCEPTED = { name: 'accepted', kind: 'proportion' };
const RATING = { name: 'rating', kind: 'score', minimum: 1, maximum: 5 };
/** 100 ratings: half of them 4 and half 5. */
const RATED = { metric: 'rating', count: 100, sum: 450, sumOfSquares: 2050 };

let network: ReleaseNetwork;
let run: RunView;
let versions: string[];
/** Of a service: it may report and do nothing else. */
let service: string;

const operator = <Value>(method: string, path: string, body?: object): Promise<Value> =>
  network.operate<Value>(method, path, body);
const declare = (metrics: object[]) =>
  send(network.url, 'PUT', routes.outcomeMetrics(SUPPORT), network.token, { metrics });
const report = (version: string, outcomes: object[], token = service, headers: Record<string, string> = {}) =>
  send(network.url, 'POST', routes.outcomes(version), token, { outcomes }, headers);
const shown = (version: string): Promise<OutcomesView> => operator('GET', routes.outcomes(version));

beforeAll(async () => {
  network = await ReleaseNetwork.start([
    { loss: 2, exact: 0.1 },
    { loss: 1, exact: 0.5 },
  ]);
  run = await network.complete(measuredRun(SUPPORT, 2));
  versions = await network.versionsOf(SUPPORT);
  const token = { name: 'helpdesk', permissions: ['outcomes.write'], runs: [run.id] };
  service = (await operator<NewApiToken>('POST', routes.tokens, token)).token;
});
afterAll(async () => {
  await network?.stop();
});

describe('metrics', () => {
  it('are what an operator declares, which the audit log has', async () => {
    expect((await declare([ACCEPTED, RATING])).status).toBe(200);
    expect(await operator<OutcomeMetricsView>('GET', routes.outcomeMetrics(SUPPORT))).toEqual({
      metrics: [{ ...ACCEPTED, minimum: 0, maximum: 1 }, RATING],
    });
    const { entry } = (await operator<Page<AuditLine>>('GET', `${routes.audit}?limit=1`)).items[0];
    expect(entry).toMatchObject({
      event: 'outcomes.declared',
      after: { metrics: 'accepted (proportion), rating (score from 1 to 5)' },
    });
  });

  it.each<[string, object[], number, string]>([
    ['a name that is a sentence', [{ ...ACCEPTED, name: 'The user said yes' }], 400, 'request/invalid'],
    ['a score without bounds', [{ name: 'x', kind: 'score' }], 422, 'outcomes/invalid-metric'],
    ['a score with no room', [{ name: 'x', kind: 'score', minimum: 2, maximum: 2 }], 422, 'outcomes/invalid-metric'],
    ['a proportion with bounds', [{ ...ACCEPTED, maximum: 2 }], 422, 'outcomes/invalid-metric'],
    ['a name twice', [ACCEPTED, ACCEPTED], 422, 'outcomes/invalid-metric'],
    ['other bounds than before', [{ ...RATING, maximum: 10 }], 409, 'outcomes/metric-fixed'],
    ['another kind than before', [{ ...RATING, name: 'accepted' }], 409, 'outcomes/metric-fixed'],
  ])('are not %s', async (_what, metrics, status, code) => {
    expect(await (await declare(metrics)).json()).toMatchObject({ status, code });
  });

  it('that are not declared any more take no reports, and have what they had when they are again', async () => {
    await report(versions[0], [RATED]);
    await declare([ACCEPTED]);
    expect(await (await report(versions[0], [RATED])).json()).toMatchObject({ code: 'outcomes/unknown-metric' });
    expect((await shown(versions[0])).metrics.map(({ metric }) => metric.name)).toEqual(['accepted']);
    await declare([ACCEPTED, RATING]);
    expect((await shown(versions[0])).metrics[1].all).toMatchObject({ count: 100, estimate: 4.5 });
  });
});

describe('a report', () => {
  it('adds to what was reported, and comes back as rates with intervals', async () => {
    expect((await report(versions[1], [{ metric: 'accepted', count: 100, sum: 80 }, RATED])).status).toBe(204);
    expect((await report(versions[1], [{ metric: 'accepted', count: 100, sum: 60 }])).status).toBe(204);
    const [accepted, rating] = (await shown(versions[1])).metrics;
    expect(accepted.all).toMatchObject({ count: 200, estimate: 0.7 });
    expect(accepted.all?.low).toBeCloseTo(0.6333, 3);
    expect(accepted.all?.high).toBeCloseTo(0.7593, 3);
    expect(rating.all).toMatchObject({ count: 100, estimate: 4.5 });
    expect(rating.recent).toEqual(rating.all);
    expect(rating).toMatchObject({ before: null, drift: { verdict: 'too-few' } });
  });

  it('counts once, however often it is sent with its key', async () => {
    const headers = { 'idempotency-key': 'report-of-twelve-o-clock' };
    for (let i = 0; i < 3; i++)
      expect((await report(versions[2], [{ metric: 'accepted', count: 7, sum: 7 }], service, headers)).status).toBe(
        204,
      );
    expect((await shown(versions[2])).metrics[0].all).toMatchObject({ count: 7, estimate: 1 });
  });

  it.each<[string, object, number, string]>([
    ['a metric that nobody declared', { metric: 'clicks', count: 1, sum: 1 }, 422, 'outcomes/unknown-metric'],
    ['text', { metric: 'accepted', count: 1, sum: 1, comment: 'It was helpful.' }, 400, 'request/invalid'],
    ['text in the place of a name', { metric: 'It was helpful.', count: 1, sum: 1 }, 400, 'request/invalid'],
    ['text in the place of a number', { metric: 'accepted', count: 1, sum: 'one' }, 400, 'request/invalid'],
    ['no outcomes', { metric: 'accepted', count: 0, sum: 0 }, 400, 'request/invalid'],
    ['more that were so than there were', { metric: 'accepted', count: 10, sum: 11 }, 422, 'outcomes/impossible'],
    ['half an outcome', { metric: 'accepted', count: 10, sum: 0.5 }, 422, 'outcomes/impossible'],
    ['squares of a proportion', { metric: 'accepted', count: 2, sum: 1, sumOfSquares: 1 }, 422, 'outcomes/impossible'],
    ['scores without squares', { metric: 'rating', count: 2, sum: 6 }, 422, 'outcomes/impossible'],
    ['scores over their maximum', { ...RATED, sum: 501, sumOfSquares: 2510.01 }, 422, 'outcomes/impossible'],
    ['scores below their minimum', { ...RATED, sum: 99, sumOfSquares: 99 }, 422, 'outcomes/impossible'],
    ['squares below what the mean has', { ...RATED, sumOfSquares: 2000 }, 422, 'outcomes/impossible'],
    ['squares over what bounds allow', { ...RATED, sumOfSquares: 2300 }, 422, 'outcomes/impossible'],
  ])('is never %s, and nothing of it counts', async (_what, outcome, status, code) => {
    const before = await shown(versions[1]);
    const refused = await report(versions[1], [{ metric: 'accepted', count: 5, sum: 5 }, outcome]);
    expect(await refused.json()).toMatchObject({ status, code });
    expect(await shown(versions[1])).toEqual(before);
  });

  it('is taken at both ends of its bounds', async () => {
    expect((await report(versions[0], [{ metric: 'rating', count: 3, sum: 3, sumOfSquares: 3 }])).status).toBe(204);
    expect((await report(versions[0], [{ metric: 'rating', count: 3, sum: 15, sumOfSquares: 75 }])).status).toBe(204);
  });

  it('is all that a service’s token may do', async () => {
    expect((await send(network.url, 'GET', routes.outcomes(versions[1]), service)).status).toBe(403);
    const reader = { name: 'reader', permissions: ['versions.read'] };
    const { token } = await operator<NewApiToken>('POST', routes.tokens, reader);
    const refused = await report(versions[1], [{ metric: 'accepted', count: 1, sum: 1 }], token);
    expect(await refused.json()).toMatchObject({ status: 403, code: 'session/not-allowed' });
  });

  it('is of a version that there is', async () => {
    expect((await report('f'.repeat(40), [{ metric: 'accepted', count: 1, sum: 1 }], network.token)).status).toBe(404);
  });
});

describe('two versions', () => {
  it('are compared in the hours in which both were in use', async () => {
    await report(versions[2], [{ metric: 'accepted', count: 200, sum: 193 }]);
    const found = await operator<OutcomeComparisonView>('GET', routes.outcomeComparison(versions[1], versions[2]));
    expect(found).toMatchObject({ left: versions[1], right: versions[2], hours: 1 });
    const [accepted, rating] = found.metrics;
    expect(accepted).toMatchObject({
      left: { count: 200, estimate: 0.7 },
      right: { count: 207 },
      difference: { verdict: 'shown' },
    });
    expect(accepted.difference.estimate).toBeCloseTo(200 / 207 - 0.7, 12);
    expect(accepted.difference.low).toBeGreaterThan(0.1);
    expect(rating).toMatchObject({ left: null, right: null, difference: { verdict: 'too-few', p: null } });
  });
});

describe('fedlora admin outcomes', () => {
  const admin = (args: string[], token = network.token) =>
    fedlora(['admin', 'outcomes', ...args], {
      environment: { FEDLORA_COORDINATOR: network.url, FEDLORA_API_TOKEN: token },
    });

  it('declares, reports and shows', async () => {
    expect((await admin(['declare', SUPPORT, 'accepted', 'rating=1..5', 'seconds=0..60'])).code).toBe(0);
    const reported = await admin(['report', versions[0], 'accepted=3/4', 'seconds=20.5/10/50'], service);
    expect([reported.code, reported.error]).toEqual([0, '']);
    const found = JSON.parse((await admin(['show', versions[0]])).out) as OutcomesView;
    expect(found.metrics.map(({ metric, all }) => [metric.name, all?.count])).toEqual([
      ['accepted', 4],
      ['rating', 106],
      ['seconds', 10],
    ]);
    expect((await admin(['compare', versions[0], versions[1]])).code).toBe(0);
    expect(JSON.parse((await admin(['metrics', SUPPORT])).out)).toMatchObject({ metrics: [{}, {}, {}] });
  });

  it.each(['accepted', 'accepted=1', 'accepted=1/2/3/4', 'accepted=a/b'])('reports nothing of %s', async (outcome) => {
    const { code, error } = await admin(['report', versions[0], outcome], service);
    expect([code, error]).toEqual([2, expect.stringContaining('numbers with / between them')]);
  });
});
