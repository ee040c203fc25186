/**
 * Everybody at the same moment: a coordinator whose places are few has all sign in, say hello and upload at once, and again after it was
 * started anew. Those for whom there is no place are told when to come again, and nobody is missing in the end.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { routes, type OrganisationView, type RoundView, type RunView } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AdmissionsBounds } from '../../coordinator/src/access/admission.js';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { FakeFederation, FakeOrganisation, untilRun } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { listAll, operate } from '../support/requests.js';
import { plainRun } from '../support/tiny-run.js';

const NAMES = Array.from({ length: 12 }, (_, i) => `org-${i}`);
const PATIENCE = { timeout: 90_000, interval: 100 };
const few = { atOnce: 1, waiting: 3, ofEach: 1, retryAfterMs: 1_000 };
const bounds: AdmissionsBounds = { uploads: few, signIns: few, hellos: few };

const DRIBBLE_MS = 500;

/** An organisation that notes what it was refused, and comes again by itself. Its first piece waits until all have one. */
class Member extends FakeOrganisation {
  readonly refused: { readonly status: number; readonly retryAfter: string | null; readonly body: string }[] = [];
  /** Of a line so slow that its piece comes to an end only when it is told. */
  slowly: Promise<void> | undefined;
  isWaiting = false;
  private go: () => void = () => undefined;
  private readonly going = new Promise<void>((resolve) => (this.go = resolve));

  letGo(): void {
    this.go();
  }

  override async patch(roundId: string, offset: number, piece: Uint8Array, length: number): Promise<Response> {
    this.isWaiting = true;
    await this.going;
    const { slowly } = this;
    const response =
      slowly === undefined
        ? await super.patch(roundId, offset, piece, length)
        : await this.patchFrom(dribbled(piece, slowly), roundId, offset, length);
    if (response.status === 503) {
      const [retryAfter, body] = [response.headers.get('retry-after'), await response.clone().text()];
      this.refused.push({ status: response.status, retryAfter, body });
    }
    return response;
  }
}

/** A byte now and then, as long as there are two left, and the rest at the end. */
async function* dribbled(piece: Uint8Array, end: Promise<void>): AsyncGenerator<Uint8Array> {
  let isOver = false;
  void end.then(() => (isOver = true));
  let sent = 0;
  while (!isOver) {
    if (sent < piece.length - 1) yield piece.subarray(sent, (sent += 1));
    await Promise.race([end, wait(DRIBBLE_MS)]);
  }
  yield piece.subarray(sent);
}

class Members extends FakeFederation {
  protected override organisation(name: string): FakeOrganisation {
    return new Member(name);
  }
}

describe(`${NAMES.length} organisations at once, where one is served and three wait`, () => {
  let folder: string;
  let coordinator: RunningCoordinator;
  let token: string;
  const federation = new Members();
  const gone = new AbortController();
  const members = (): Member[] => federation.organisations.filter((one) => one instanceof Member);

  async function start(port = 0): Promise<RunningCoordinator> {
    const { federationKey } = federation;
    const config = { dataFolder: folder, host: '127.0.0.1', port, logLevel: 'silent' as const, federationKey };
    return startCoordinator(config, { admissions: bounds });
  }

  async function untilConnected(): Promise<void> {
    await vi.waitFor(async () => {
      const all = await listAll<OrganisationView>(coordinator.url, token, routes.organisations);
      expect(all.filter(({ connected }) => connected).length).toBe(NAMES.length);
    }, PATIENCE);
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-herd-'));
    coordinator = await start();
    ({ token } = await becomeFirstAdmin(coordinator.url, coordinator.setupToken ?? ''));
    await federation.enrol(coordinator.url, token, NAMES);
    void federation.stay(coordinator.url, gone.signal);
    await untilConnected();
  });
  afterAll(async () => {
    gone.abort();
    await coordinator.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('are all counted, after a restart in the middle too, and those without a place hear when to come again', async () => {
    const terms = { ...plainRun, rounds: 1, maximumConsecutiveAborts: 1 };
    const { id } = await operate<RunView>(coordinator.url, token, 'POST', routes.runs, terms);
    await vi.waitFor(() => expect(members().every(({ isWaiting }) => isWaiting)).toBe(true), PATIENCE);
    const port = Number(new URL(coordinator.url).port);
    await coordinator.close({ abruptly: true });
    coordinator = await start(port);
    await untilConnected();

    // One has the only place, three wait for it, and for the others there is none.
    const [first, ...others] = members();
    let end = (): void => undefined;
    first.slowly = new Promise((resolve) => (end = resolve));
    first.letGo();
    await vi.waitFor(async () => expect(await receivedOf(id, first.name)).toBeGreaterThan(0), PATIENCE);
    for (const member of others) member.letGo();
    const withoutPlace = others.length - few.waiting;
    await vi.waitFor(
      () => expect(others.filter(({ refused }) => refused.length > 0).length).toBeGreaterThanOrEqual(withoutPlace),
      PATIENCE,
    );
    end();

    expect(await untilRun(coordinator.url, token, id)).toMatchObject({ completedRounds: 1, abortedRounds: 0 });
    const [round] = await rounds(id);
    expect(round.participants.map(({ status }) => status)).toEqual(NAMES.map(() => 'unmasked'));
    for (const { status, retryAfter, body } of members().flatMap(({ refused }) => refused)) {
      expect([status, retryAfter]).toEqual([503, String(few.retryAfterMs / 1000)]);
      expect(body).toContain('coordinator/busy');
    }
  });

  function rounds(runId: string): Promise<RoundView[]> {
    return listAll<RoundView>(coordinator.url, token, routes.rounds(runId));
  }

  /** Bytes that have come of an organisation's contribution. */
  async function receivedOf(runId: string, name: string): Promise<number> {
    const [round] = await rounds(runId);
    return round.participants.find((one) => one.name === name)?.receivedBytes ?? 0;
  }
});
