import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  routes,
  type AuditLine,
  type CalendarView,
  type Page,
  type RoundView,
  type RunPlanView,
  type RunSchedule,
  type RunView,
  type SchedulePreview,
  type ScheduleView,
} from '@fedlora/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeFederation, untilRound, untilRun } from '../../../test/support/fake-federation.js';
import { becomeFirstAdmin } from '../../../test/support/first-admin.js';
import { json, listAll, operate, send } from '../../../test/support/requests.js';
import { privateRun } from '../../../test/support/tiny-run.js';
import { startCoordinator, type RunningCoordinator } from '../start-coordinator.js';

const description = {
  ...privateRun,
  deadlinesMs: { advertising: 5000, sharing: 5000, training: 5000, checking: 5000, unmasking: 5000 },
};

const DAY = 24 * 3600_000;
const HOUR = 3600_000;
const nightly: RunSchedule = { timeZone: 'Europe/Berlin', cron: '0 3 * * *' };
/** 03:00 in Berlin. */
const THREE = Date.parse('2027-05-02T01:00Z');
/** Time to enrol and to start a run before a round is due. */
const LEAD_MS = 7000;

let folder: string;
let coordinator: RunningCoordinator;
let federation: FakeFederation;
let token: string;
/** What the coordinator's clock is ahead of ours. */
let ahead: number;

async function start(): Promise<void> {
  const { federationKey } = federation;
  coordinator = await startCoordinator(
    { dataFolder: folder, host: '127.0.0.1', port: 0, logLevel: 'silent', federationKey },
    { now: () => Date.now() + ahead, sessionMs: 10 * DAY },
  );
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-schedule-'));
  federation = new FakeFederation();
  ahead = THREE - LEAD_MS - Date.now();
  await start();
  ({ token } = await becomeFirstAdmin(coordinator.url, coordinator.setupToken ?? ''));
  await federation.enrol(coordinator.url, token, ['bank', 'clinic', 'council']);
  await federation.connect(coordinator.url);
});
afterEach(async () => {
  federation.disconnect();
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

const get = <Value>(path: string): Promise<Value> => operate<Value>(coordinator.url, token, 'GET', path);
const startRun = (schedule?: RunSchedule): Promise<RunView> =>
  operate<RunView>(coordinator.url, token, 'POST', routes.runs, { ...description, schedule });
const put = (id: string, schedule: RunSchedule, headers = {}): Promise<Response> =>
  send(coordinator.url, 'PUT', routes.runSchedule(id), token, schedule, headers);
const roundsOf = (id: string): Promise<RoundView[]> => listAll<RoundView>(coordinator.url, token, routes.rounds(id));
const untilWaiting = (id: string, text: string): Promise<RunView> =>
  untilRun(coordinator.url, token, id, ({ reason }) => reason?.includes(text) === true);
const calendar = (from: number, to: number, more = ''): Promise<CalendarView> =>
  get<CalendarView>(`${routes.calendar}?from=${from}&to=${to}${more}`);

describe('a run with a schedule', () => {
  it('waits for its time, starts one round at it, and shows both in the calendar', async () => {
    const { id } = await startRun(nightly);
    const waiting = await untilWaiting(id, 'The next round is due on Sun 2 May 2027, 03:00 (Europe/Berlin).');
    expect(waiting).toMatchObject({ status: 'running', nextRoundAt: THREE });
    expect(await roundsOf(id)).toEqual([]);
    const before = await calendar(THREE - DAY, THREE + 2 * DAY);
    expect(before.planned.map(({ at }) => at)).toEqual([THREE, THREE + DAY]);
    expect(before.runs).toEqual([{ id, title: 'A run', status: 'running', timeZone: 'Europe/Berlin' }]);

    const round = await untilRound(coordinator.url, token, id, ({ phase }) => phase === 'done');
    expect(round.scheduledFor).toBe(THREE);
    expect(round.startedAt).toBeGreaterThanOrEqual(THREE);
    await untilWaiting(id, 'Mon 3 May 2027, 03:00');
    const after = await calendar(THREE - DAY, THREE + 2 * DAY, `&run=${id}`);
    expect(after.rounds).toMatchObject([{ id: round.id, phase: 'done', scheduledFor: THREE }]);
    expect(after.planned.map(({ at }) => at)).toEqual([THREE + DAY]);
    expect((await calendar(THREE - DAY, THREE + DAY, '&run=run-of-nobody')).rounds).toEqual([]);
    expect(await roundsOf(id)).toHaveLength(1);
  });

  it('makes up for one of the times that passed while the coordinator was down, and for none that is long ago', async () => {
    const { id } = await startRun(nightly);
    await untilWaiting(id, 'Sun 2 May');
    federation.disconnect();
    await coordinator.close();
    ahead += 2 * DAY + HOUR / 2; // Half past three, two nights later.
    await start();
    await federation.connect(coordinator.url);
    await untilWaiting(id, 'Wed 5 May 2027, 03:00');
    expect((await roundsOf(id)).map(({ scheduledFor }) => scheduledFor)).toEqual([THREE + 2 * DAY]);

    federation.disconnect();
    await coordinator.close();
    ahead += 2 * DAY + 3 * HOUR;
    await start();
    await federation.connect(coordinator.url);
    await untilWaiting(
      id,
      'The round of Thu 6 May 2027, 03:00 (Europe/Berlin) could not start in time and was left out.',
    );
    expect(await roundsOf(id)).toHaveLength(1);
  });

  it('lets a round finish when a maintenance window begins in it, and starts none until the window is taken away', async () => {
    const [first] = federation.organisations;
    const { id } = await startRun();
    let hold = true;
    first.ignores = ({ phase }) => hold && phase === 'training';
    await untilRound(coordinator.url, token, id, ({ phase }) => phase === 'training');
    const windows = [{ from: '2027-05-01T00:00', until: '2027-05-03T00:00' }];
    expect((await put(id, { windows })).status).toBe(200);
    hold = false;
    first.disconnect();
    await first.connect(coordinator.url); // What it missed is asked again.
    await untilWaiting(id, 'No round starts in the maintenance window until Mon 3 May 2027, 00:00 (UTC).');
    expect((await roundsOf(id)).at(-1)).toMatchObject({ number: 1, phase: 'done' });
    const done = (await roundsOf(id)).length;
    expect((await calendar(THREE - DAY, THREE + DAY)).windows).toEqual([
      { runId: id, from: Date.parse('2027-05-01T00:00Z'), until: Date.parse('2027-05-03T00:00Z') },
    ]);
    await put(id, {});
    await untilRound(coordinator.url, token, id, ({ number }) => number > done);
  });

  it('is completed by the first of its stop rules that holds, which its reason names', async () => {
    const { id } = await startRun({ stop: { rounds: 2, epsilon: 100 } });
    expect(await untilRun(coordinator.url, token, id)).toMatchObject({
      status: 'completed',
      completedRounds: 2,
      reason: 'Stop rule "rounds": 2 rounds are done, of 2.',
    });
    const { plan } = await operate<RunPlanView>(coordinator.url, token, 'POST', routes.runPlan, description);
    const budget = plan?.epsilonCurve.find(({ rounds }) => rounds === 3)?.epsilon ?? 0;
    const other = await startRun({ stop: { epsilon: budget + 1e-9 } });
    const ended = await untilRun(coordinator.url, token, other.id);
    expect(ended).toMatchObject({ status: 'completed', completedRounds: 3 });
    expect(ended.epsilon).toBeCloseTo(budget, 9);
    expect(ended.reason).toMatch(/^Stop rule "epsilon": one round more would bring it to [\d.]+, over the budget of/);
  });

  it('is completed when what it measures reaches the target', async () => {
    // Made-up values in the places of numbers say nothing, now and then for every round of the run.
    for (const organisation of federation.organisations)
      organisation.numbers = { losses: [1], heldOut: [{ loss: 2, exact: 0.5 }] };
    const { id } = await operate<RunView>(coordinator.url, token, 'POST', routes.runs, {
      ...description,
      privacy: { unit: 'none', l2Bound: 1, noiseMultiplier: 0, delta: 0, assumedColluders: 1 },
      training: { kind: 'local-steps', steps: 1, batchSize: 4, learningRate: 0.1, maximumGradientNorm: 1 },
      metrics: { evaluation: { fraction: 0.25 } },
      schedule: { stop: { heldOutLoss: 1000 } },
    });
    const ended = await untilRun(coordinator.url, token, id);
    expect(ended.status).toBe('completed');
    expect(ended.reason).toMatch(/^Stop rule "heldOutLoss": round \d measured [\d.]+, and 1000 was the target\.$/);
  });

  it('waits for those beyond the threshold that it wants, until it wants them no more', async () => {
    // In a run of four, a round needs three.
    await federation.enrol(coordinator.url, token, ['museum']);
    const { id } = await startRun({ quorum: { beyondThreshold: 1 } });
    await untilWaiting(id, '3 of 4 wanted (3 needed, 1 beyond) are ready. Not ready: museum.');
    await put(id, {});
    await untilRound(coordinator.url, token, id, ({ phase }) => phase === 'done');
  });
});

describe('the schedule of a run', () => {
  it('is changed by whoever looked at it, and the change is in the audit log with before and after', async () => {
    const { id } = await startRun({ cron: '0 4 * * *' });
    const seen = await send(coordinator.url, 'GET', routes.runSchedule(id), token);
    const tag = seen.headers.get('etag') ?? '';
    expect(await json<ScheduleView>(seen)).toMatchObject({ runId: id, schedule: { cron: '0 4 * * *' } });

    const changed = await json<ScheduleView>(await put(id, nightly, { 'if-match': tag }));
    expect(changed).toMatchObject({ runId: id, schedule: nightly });
    const late = await put(id, { cron: '0 5 * * *' }, { 'if-match': tag });
    expect([late.status, ((await late.json()) as { code: string }).code]).toEqual([412, 'request/changed']);
    expect(await get<ScheduleView>(routes.runSchedule(id))).toEqual(changed);

    expect(await json<ScheduleView>(await put(id, {}))).toMatchObject({ schedule: null });
    const started = await get<Page<AuditLine>>(`${routes.audit}?event=run.started`);
    expect(started.items[0].entry.after).toEqual({ schedule: { cron: '0 4 * * *' } });
    const { items } = await get<Page<AuditLine>>(`${routes.audit}?event=run.schedule.changed`);
    expect(items.map(({ entry: { before, after } }) => [before, after])).toEqual([
      [{ schedule: nightly }, { schedule: null }],
      [{ schedule: { cron: '0 4 * * *' } }, { schedule: nightly }],
    ]);
    await operate(coordinator.url, token, 'POST', routes.runStop(id));
    expect((await put(id, nightly)).status).toBe(409);
  });

  it('is refused with the same words at every door, and then nothing is changed', async () => {
    const { id } = await startRun();
    await operate(coordinator.url, token, 'POST', routes.runPause(id), {});
    const wrong: RunSchedule = { timeZone: 'Europe/Atlantis', stop: { rounds: 6 } };
    const { problems, next } = await operate<SchedulePreview>(
      coordinator.url,
      token,
      'POST',
      routes.runSchedulePreview(id),
      wrong,
    );
    expect(problems.map(({ field }) => field)).toEqual(['timeZone', 'stop.rounds']);
    expect(next).toEqual([]);
    const plan = await operate<RunPlanView>(coordinator.url, token, 'POST', routes.runPlan, {
      ...description,
      schedule: wrong,
    });
    expect(plan.plan).toBeNull();
    expect(plan.problems.map(({ field, message }) => [field, message])).toEqual(
      problems.map(({ field, message }) => [`schedule.${field ?? ''}`, message]),
    );
    const refusals = [
      await put(id, wrong),
      await send(coordinator.url, 'POST', routes.runs, token, { ...description, schedule: wrong }),
    ];
    for (const refusal of refusals) {
      const { code, detail } = (await refusal.json()) as { code: string; detail: string };
      expect(refusal.status, code).toBe(422);
      for (const { message } of problems) expect(detail).toContain(message);
    }
    expect(await get<ScheduleView>(routes.runSchedule(id))).toEqual({ runId: id, schedule: null, changedAt: null });
    const shapeless = await put(id, { cron: 5, more: 1 } as unknown as RunSchedule);
    expect([shapeless.status, ((await shapeless.json()) as { code: string }).code]).toEqual([400, 'request/invalid']);
  });

  it('is shown before it is set: the next five times, and which of them a window delays or leaves out', async () => {
    const { id } = await startRun();
    const schedule: RunSchedule = {
      ...nightly,
      weeklyWindows: [{ days: ['mon'], from: '02:00', until: '03:30' }],
      windows: [{ from: '2027-05-04T00:00', until: '2027-05-04T12:00' }],
    };
    const preview = await operate<SchedulePreview>(
      coordinator.url,
      token,
      'POST',
      routes.runSchedulePreview(id),
      schedule,
    );
    expect(preview).toEqual({
      problems: [],
      next: [
        { at: THREE, startsAt: THREE },
        { at: THREE + DAY, startsAt: THREE + DAY + HOUR / 2 },
        { at: THREE + 2 * DAY, startsAt: null },
        { at: THREE + 3 * DAY, startsAt: THREE + 3 * DAY },
        { at: THREE + 4 * DAY, startsAt: THREE + 4 * DAY },
      ],
    });
  });
});

describe('the calendar', () => {
  it('is asked for at most 100 days', async () => {
    for (const [from, to] of [
      [5, 5],
      [0, 101 * DAY],
    ])
      expect((await send(coordinator.url, 'GET', `${routes.calendar}?from=${from}&to=${to}`, token)).status).toBe(400);
    expect(await calendar(0, 100 * DAY)).toMatchObject({ rounds: [], planned: [], windows: [], isCut: false });
  });

  it('says when there is more than it holds', async () => {
    await startRun({ cron: '* * * * *', startWithinMinutes: 1 });
    const { planned, isCut } = await calendar(THREE, THREE + 90 * DAY);
    expect(planned).toHaveLength(500);
    expect(isCut).toBe(true);
  });
});
