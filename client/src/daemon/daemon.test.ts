import { createServer, type Server as HttpServer } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { pino } from 'pino';
import { Server, type Socket } from 'socket.io';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  requestPhases,
  type DeclaredBudget,
  type ClientToServerEvents,
  type RoundRequest,
  type ServerToClientEvents,
  type SessionStanding,
} from '@fedlora/shared';
import { Http } from '../connection/http.js';
import { SignIn } from '../connection/sign-in.js';
import type { Parts } from '../round/contribute.js';
import { OfferVerifier } from '../round/verify-offer.js';
import { createIdentity } from '../storage/identity.js';
import type { ReachedLimit } from './resource-limits.js';
import { Daemon, spokenCode } from './daemon.js';
import { readStatus } from './status-file.js';

type ServerSocket = Socket<ClientToServerEvents, ServerToClientEvents>;

/** A coordinator that signs everyone in and remembers what it heard. */
class FakeCoordinator {
  readonly heard: string[] = [];
  readonly devices: string[] = [];
  readonly budgets: (DeclaredBudget | undefined)[] = [];
  socket: ServerSocket | undefined;
  private readonly waiting = new Set<() => void>();
  private constructor(
    readonly url: string,
    /** What those that signed in said the time was. */
    readonly clocks: readonly unknown[],
    private readonly http: HttpServer,
    private readonly io: Server<ClientToServerEvents, ServerToClientEvents>,
  ) {
    io.on('connection', (socket) => {
      this.socket = socket;
      const ok = { ok: true } as const;
      socket.on('session.hello', (hello, acknowledge) => {
        this.devices.push(hello.device);
        this.budgets.push(hello.budget);
        this.hear(`hello ${hello.state} ${String(socket.handshake.auth.token)}`, () => acknowledge(ok));
      });
      socket.on('session.state', ({ state }, acknowledge) => this.hear(`state ${state}`, () => acknowledge(ok)));
      socket.on('round.reply', ({ phase }, acknowledge) => this.hear(`reply ${phase}`, () => acknowledge(ok)));
      socket.on('round.decline', ({ roundId, code }, acknowledge) =>
        this.hear(`decline ${roundId} ${code}`, () => acknowledge(ok)),
      );
    });
  }

  static async start(): Promise<FakeCoordinator> {
    let sessions = 0;
    const clocks: unknown[] = [];
    const http = createServer((request, response) => {
      response.setHeader('content-type', 'application/json');
      json(request).then(
        (body) => {
          if (request.url?.endsWith('/challenge')) response.end(JSON.stringify({ nonce: 'a'.repeat(64) }));
          else if (request.url?.endsWith('/session')) {
            clocks.push((body as { sentAt?: unknown }).sentAt);
            response.end(JSON.stringify({ token: `token-${(sessions += 1)}`, expiresAt: 1e15 }));
          }
        },
        () => response.end(),
      );
    });
    const io = new Server<ClientToServerEvents, ServerToClientEvents>(http, { transports: ['websocket'] });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    return new FakeCoordinator(`http://127.0.0.1:${(http.address() as AddressInfo).port}`, clocks, http, io);
  }

  request(phase: RoundRequest['phase'], roundId = 'r1', offer: unknown = undefined): void {
    const messages = phase === 'advertising' ? {} : { messages: [Buffer.from('x')] };
    this.socket?.emit('round.request', {
      roundId,
      phase,
      deadlineAt: 1000,
      sentAt: 0,
      ...messages,
      ...(offer === undefined ? {} : { offer }),
    } as RoundRequest);
  }

  /** Waits until `count` heard lines match. */
  async until(pattern: RegExp, count = 1): Promise<void> {
    while (this.heard.filter((line) => pattern.test(line)).length < count) {
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  async stop(): Promise<void> {
    await this.io.close();
    this.http.close();
  }

  private hear(line: string, acknowledge: () => void): void {
    this.heard.push(line);
    acknowledge();
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}

describe('Daemon', () => {
  let coordinator: FakeCoordinator;
  let folder: string;
  let daemon: Daemon;
  let stopped: Promise<void>;
  let device: string;
  let budget: DeclaredBudget | undefined;
  const shown = () => readStatus(join(folder, 'status.json'));
  let isOpen = true;
  let reached: ReachedLimit | undefined;
  let released = 0;

  beforeEach(async () => {
    isOpen = true;
    reached = undefined;
    released = 0;
    coordinator = await FakeCoordinator.start();
    device = 'auto';
    budget = undefined;
    folder = await mkdtemp(join(tmpdir(), 'fedlora-daemon-'));
    const identity = await createIdentity(join(folder, 'identity.key'));
    const signIn = new SignIn(new Http(coordinator.url), identity, 'c'.repeat(64));
    daemon = new Daemon({
      organisation: 'clinic',
      coordinator: coordinator.url,
      clientVersion: '0.1.0',
      device: () => device,
      declaredBudget: () => budget,
      session: { url: coordinator.url, signIn },
      verifier: new OfferVerifier({
        pins: { coordinatorKey: 'c'.repeat(64), federationKey: 'f'.repeat(64) },
        identity: identity.publicKey,
        base: undefined,
        hasJoined: () => false,
        revocations: () => undefined,
        wasChargedOtherwise: () => false,
      }),
      rosterMemory: { remember: async () => undefined },
      // Safe: no offer of these tests gets past its verification.
      round: { now: () => Date.now() } as unknown as Omit<Parts, 'observe'>,
      log: pino({ level: 'silent' }),
      statusPath: join(folder, 'status.json'),
      pausedPath: join(folder, 'paused'),
      leftPath: join(folder, 'left.json'),
      isOpen: () => isOpen,
      limits: { reached: () => reached, trainingBegins: () => undefined, trainingEnds: () => undefined },
      releaseMemory: async () => void (released += 1),
      rememberOffer: async () => undefined,
      roundBook: { add: async () => undefined },
    });
    stopped = daemon.run();
    await coordinator.until(/^state idle/);
  });
  afterEach(async () => {
    daemon.stopNow();
    await stopped;
    await coordinator.stop();
  });

  it('declines whatever is asked about a round that it does not remember', async () => {
    const later = requestPhases.filter((phase) => phase !== 'advertising');
    for (const phase of later) coordinator.request(phase, `old-${phase}`);
    await coordinator.until(/^decline old-.* round\/forgotten$/, later.length);
  });

  it('declines an offer that it cannot accept, and again when asked again, and goes on', async () => {
    coordinator.request('advertising', 'r1', { roundId: 'r1' });
    await coordinator.until(/^decline r1 offer\/malformed$/);
    coordinator.request('advertising', 'r1', { roundId: 'r1' });
    await coordinator.until(/^decline r1 offer\/malformed$/, 2);
    coordinator.request('advertising', 'r2');
    await coordinator.until(/^decline r2 offer\/malformed$/);
    await expect.poll(async () => (await readStatus(join(folder, 'status.json')))?.rounds.declined).toBe(1);
  });

  it('says after a round what is spent by then, where its owner lets that be known, and nothing where not', async () => {
    const roundOf = async (id: string): Promise<void> => {
      coordinator.request('advertising', id, { roundId: id });
      await coordinator.until(new RegExp(`^decline ${id} `));
      await expect.poll(async () => (await shown())?.lastRound?.roundId).toBe(id);
    };
    await roundOf('r1');
    const spent = { unit: 'record', noiseMultiplier: 1, samplingRate: 0.1, steps: 3 } as const;
    budget = { epsilonCap: 4, maximumDelta: 1e-5, spent: [spent], elsewhere: [] };
    await roundOf('r2');
    await expect.poll(() => coordinator.budgets).toEqual([undefined, budget]);
    await roundOf('r3'); // Nothing new.
    budget = { ...budget, spent: [{ ...spent, steps: 4 }] };
    await roundOf('r4');
    await expect.poll(() => coordinator.budgets.slice(2)).toEqual([budget]);
  });

  it('says that it is cut off, and why, also after a round', async () => {
    coordinator.request('advertising', 'r1', { roundId: 'r1' });
    await coordinator.until(/^decline r1 offer\/malformed$/);
    await expect.poll(shown).toMatchObject({ state: 'idle', connected: true, rounds: { declined: 1 } });
    await coordinator.stop();
    await expect.poll(shown).toMatchObject({
      state: 'connecting',
      connected: false,
      why: expect.stringContaining(coordinator.url) as string,
    });
  });

  it('joins no round while its owner has paused it', async () => {
    await writeFile(join(folder, 'paused'), '');
    coordinator.request('advertising', 'r1', { roundId: 'r1' });
    await coordinator.until(/^decline r1 client\/paused$/);
    await coordinator.until(/^state paused$/);
    await rm(join(folder, 'paused'));
    await coordinator.until(/^state idle$/, 2); // Noticed without being asked.
  });

  it('joins no round while a limit of its owner is reached, says which, and goes on when it is not', async () => {
    reached = { limit: 'gpu-busy', why: 'Other programs use 90 % of the GPU.' };
    coordinator.request('advertising', 'r1', { roundId: 'r1' });
    await coordinator.until(/^decline r1 client\/paused$/);
    await expect.poll(shown).toMatchObject({
      state: 'paused',
      why: 'Other programs use 90 % of the GPU.',
      next: 'Goes on by itself when the GPU is free.',
    });
    expect(released).toBe(0);
    reached = undefined;
    coordinator.request('advertising', 'r2', { roundId: 'r2' });
    await coordinator.until(/^decline r2 offer\/malformed$/);
  });

  it('gives back the memory of the engine, once, when it holds more than its owner allows', async () => {
    reached = { limit: 'memory', why: 'This program holds 999 MiB.' };
    coordinator.request('advertising', 'r1', { roundId: 'r1' });
    await coordinator.until(/^decline r1 client\/paused$/);
    coordinator.request('advertising', 'r2', { roundId: 'r2' });
    await coordinator.until(/^decline r2 client\/paused$/);
    await expect.poll(shown).toMatchObject({ state: 'paused', why: 'This program holds 999 MiB.' });
    expect(released).toBe(1);
  });

  it('joins no round outside of the hours of its policy, says so, and goes on when they begin', async () => {
    isOpen = false;
    coordinator.request('advertising', 'r1', { roundId: 'r1' });
    await coordinator.until(/^decline r1 client\/paused$/);
    await coordinator.until(/^state paused$/);
    await expect
      .poll(() => readStatus(join(folder, 'status.json')))
      .toMatchObject({
        why: 'The policy lets no round begin at this hour.',
        next: expect.stringContaining('by itself'),
      });
    isOpen = true;
    await coordinator.until(/^state idle$/, 2);
  });

  it('signs in again and says hello after a lost connection', async () => {
    coordinator.socket?.disconnect(true);
    await coordinator.until(/^hello/, 2);
    expect(coordinator.heard.filter((line) => line.startsWith('hello'))).toEqual([
      'hello idle token-1',
      'hello idle token-2',
    ]);
    coordinator.request('unmasking', 'old');
    await coordinator.until(/^decline old round\/forgotten$/);
  });

  it('says hello again when its engine has chosen a device', async () => {
    device = 'webgpu';
    daemon.announceDevice();
    await coordinator.until(/^hello/, 2);
    expect(coordinator.devices).toEqual(['auto', 'webgpu']);
    await expect.poll(async () => (await shown())?.device).toBe('webgpu');
  });

  it('tells its owner that it is suspended, and why, until it is reinstated', async () => {
    coordinator.socket?.emit('session.standing', { suspended: true, reason: 'Rows under review' });
    await expect.poll(async () => (await shown())?.suspension).toEqual({ reason: 'Rows under review' });
    expect((await shown())?.why).toContain('suspended this organisation: Rows under review');
    coordinator.socket?.emit('session.standing', { suspended: false, reason: null });
    await expect.poll(async () => (await shown())?.suspension).toBe(null);
    expect((await shown())?.why).not.toContain('suspended');
  });

  it('tells its time when it signs in', () => {
    expect(coordinator.clocks).toEqual([expect.closeTo(Date.now(), -5)]);
  });

  it('ignores a request that makes no sense', async () => {
    coordinator.socket?.emit('round.request', { roundId: 7 } as unknown as RoundRequest);
    coordinator.socket?.emit('round.request', null as unknown as RoundRequest);
    coordinator.request('sharing', 'old');
    await coordinator.until(/^decline old/);
  });

  it('attack: ends of rounds and runs that make no sense, to crash it', async () => {
    for (const ended of [null, undefined, 7, {}, { roundId: 'r1' }, { roundId: 'r1', outcome: null }, { runId: 7 }]) {
      coordinator.socket?.emit('round.ended', ended as unknown as Parameters<ServerToClientEvents['round.ended']>[0]);
      coordinator.socket?.emit('session.standing', ended as unknown as SessionStanding);
      coordinator.socket?.emit('run.ended', ended as unknown as Parameters<ServerToClientEvents['run.ended']>[0]);
    }
    coordinator.request('sharing', 'old');
    await coordinator.until(/^decline old/);
  });

  it('says that it is leaving, stops, and writes that down', async () => {
    await daemon.stop();
    await stopped;
    expect(coordinator.heard.at(-1)).toBe('state draining');
    expect(await readStatus(join(folder, 'status.json'))).toMatchObject({
      state: 'stopped',
      connected: false,
      organisation: 'clinic',
    });
  });
});

describe('attack: terms varied from round to round to learn an owner’s limits from the code of the refusal', () => {
  it.each([
    'policy/epsilon-cap',
    'policy/delta-too-large',
    'policy/sampling-rate-too-high',
    'offer/delta-too-large',
    'offer/dataset-too-large',
    'offer/terms-changed',
    'round/too-many-records',
    'data/too-long',
    'data/empty',
    'engine/diverged',
    'update/over-bound',
    'ledger/in-use',
    'internal/unexpected',
  ])('%s is said as policy/declined', (code) => {
    expect(spokenCode(code)).toBe('policy/declined');
  });

  it.each(['offer/bad-signature', 'manifest/invalid', 'adapter/implausible', 'client/paused', 'round/forgotten'])(
    '%s, which is no secret, is said as it is',
    (code) => {
      expect(spokenCode(code)).toBe(code);
    },
  );
});
