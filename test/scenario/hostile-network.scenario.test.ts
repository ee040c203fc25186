/**
 * What anybody who reaches a coordinator can try, and what an enrolled organisation can: each has its own bounds, and a round of the others
 * goes on. Limits that take longer to show are tested beside them: `coordinator/src/nest/connections.test.ts`.
 */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { limits, routes, sessionMessage, WIRE_VERSION, type RoundView, type RunView } from '@fedlora/shared';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEFAULT_RATES } from '../../coordinator/src/access/rate-limits.js';
import { startCoordinator, type RunningCoordinator } from '../../coordinator/src/start-coordinator.js';
import { FakeFederation, untilRun } from '../support/fake-federation.js';
import { becomeFirstAdmin } from '../support/first-admin.js';
import { RawConnection } from '../support/raw-connection.js';
import { json, listAll, operate, send } from '../support/requests.js';
import { runOfFour } from '../support/tiny-run.js';

const MIB = 1024 * 1024;
/** What the two ends of a loopback connection hold between them, at most. */
const IN_THE_NETWORK = 24 * MIB;
/** Messages of one organisation at once. */
const BURST = 200;

let folder: string;
let coordinator: RunningCoordinator;
let token: string;
const federation = new FakeFederation();
const raw: RawConnection[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-hostile-'));
  const { federationKey } = federation;
  coordinator = await startCoordinator(
    { dataFolder: folder, host: '127.0.0.1', port: 0, logLevel: 'silent', federationKey },
    { rates: { ...DEFAULT_RATES, identity: { burst: BURST, perSecond: 20 } } },
  );
  ({ token } = await becomeFirstAdmin(coordinator.url, coordinator.setupToken ?? ''));
  await federation.enrol(coordinator.url, token, ['bank', 'clinic', 'council', 'museum']);
  await federation.connect(coordinator.url);
});

afterEach(() => {
  for (const connection of raw.splice(0)) connection.end();
  for (const organisation of federation.organisations) organisation.ignores = () => false;
});

afterAll(async () => {
  federation.disconnect();
  await coordinator.close();
  await rm(folder, { recursive: true, force: true });
});

async function open(how: 'open' | 'webSocket'): Promise<RawConnection> {
  const connection = await RawConnection[how](coordinator.url);
  raw.push(connection);
  return connection;
}

/** A round from its beginning to its end. */
async function aRound(description: object = {}): Promise<RoundView> {
  const terms = { ...runOfFour, rounds: 1, maximumConsecutiveAborts: 1, ...description };
  const { id } = await operate<RunView>(coordinator.url, token, 'POST', routes.runs, terms);
  await untilRun(coordinator.url, token, id);
  const [round] = await listAll<RoundView>(coordinator.url, token, routes.rounds(id));
  return round;
}

function unmasked({ participants }: RoundView): string[] {
  return participants.filter(({ status }) => status === 'unmasked').map(({ name }) => name);
}

const everyone = ['bank', 'clinic', 'council', 'museum'];

describe('anybody', () => {
  it('who floods with half-open requests, idle sockets and rubbish does not keep a round from its end', async () => {
    const dribbling = await Promise.all(Array.from({ length: 100 }, () => open('open')));
    for (const connection of dribbling) connection.say('POST /api/v1/session HTTP/1.1\r\nx-slow: ');
    await Promise.all(Array.from({ length: 50 }, () => open('webSocket')));
    const rubbish = setInterval(() => {
      for (const connection of dribbling) connection.say('x');
      void open('open').then((connection) => connection.say(randomBytes(1000)));
    }, 20);
    try {
      expect(unmasked(await aRound())).toEqual(everyone);
    } finally {
      clearInterval(rubbish);
    }
  });

  it('who sends a body without end is cut off after a few megabytes', async () => {
    const connection = await open('open');
    const headers = 'Host: here\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked';
    connection.say(`POST ${routes.challenge} HTTP/1.1\r\n${headers}\r\n\r\n`);
    await connection.floodUntilClosed(`10000\r\n${'['.repeat(0x10000)}\r\n`);
    expect(connection.sentBytes).toBeLessThan(8 * MIB + IN_THE_NETWORK);
  });

  it('who sends much over a socket before saying who they are is cut off', async () => {
    const connection = await open('webSocket');
    // One message as long as any may be, of which the coordinator would hold every byte.
    connection.frame('text', `40${'x'.repeat(limits.controlMessageBytes)}`);
    await connection.closed();
  });

  it.each([
    ['bytes that are no HTTP', 'open', (one: RawConnection) => one.say('\u0000\u0001 rubbish\r\n\r\n')],
    ['a request with two lengths', 'open', (one: RawConnection) => one.say(smuggled)],
    ['headers of a megabyte', 'open', (one: RawConnection) => one.say(`GET / HTTP/1.1\r\na: ${'a'.repeat(MIB)}`)],
    ['a frame that is not masked', 'webSocket', (one: RawConnection) => one.say(Uint8Array.of(0x81, 1, 0x34))],
    ['a frame of an exabyte', 'webSocket', (one: RawConnection) => one.say(endless)],
    ['text that is no packet', 'webSocket', (one: RawConnection) => one.frame('text', '4rubbish')],
    ['a packet that is no JSON', 'webSocket', (one: RawConnection) => one.frame('text', '42["session.hello",{')],
    ['a packet of many attachments', 'webSocket', (one: RawConnection) => one.frame('text', '452-["a",{},{}]')],
    ['an attachment of nothing', 'webSocket', (one: RawConnection) => one.frame('binary', new Uint8Array(9))],
    ['an event before saying who it is', 'webSocket', (one: RawConnection) => one.frame('text', '42["session.hello"]')],
  ] as const)('who sends %s is cut off', async (_what, how, say) => {
    const connection = await open(how);
    say(connection);
    await connection.closed();
  });

  it('who repeats what an organisation once signed opens nothing', async () => {
    const [bank] = federation.organisations;
    const { identity } = bank;
    const { nonce } = await json<{ nonce: string }>(
      await send(coordinator.url, 'POST', routes.challenge, undefined, { identity }),
    );
    const { publicKey } = await json<{ publicKey: string }>(
      await send(coordinator.url, 'GET', routes.signingKey, token),
    );
    const signature = bank.sign(sessionMessage(identity, nonce, publicKey));
    const request = { identity, nonce, signature, wireVersion: WIRE_VERSION };
    const statuses: number[] = [];
    for (let i = 0; i < 2; i += 1) {
      statuses.push((await send(coordinator.url, 'POST', routes.session, undefined, request)).status);
    }
    expect(statuses[0]).toBe(201);
    expect(statuses[1]).not.toBe(201);
  });
});

const smuggled = 'POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
const endless = Uint8Array.of(0x82, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0);

describe('an organisation', () => {
  it('that signs rubbish is refused and left out; the others finish', async () => {
    const museum = federation.organisations[3];
    museum.ignores = ({ phase, roundId }) => {
      if (phase !== 'sharing') return false;
      for (const bytes of [0, 36, 5000, 100_000])
        void museum.reply(roundId, phase, randomBytes(bytes)).catch(() => undefined);
      return true;
    };
    const before = museum.replies.length;
    const deadlinesMs = { advertising: 20_000, sharing: 1_500, training: 20_000, checking: 20_000, unmasking: 20_000 };
    const round = await aRound({ deadlinesMs });
    expect(unmasked(round)).toEqual(everyone.slice(0, 3));
    const refusals = museum.replies.slice(before).filter(({ ok }) => !ok);
    expect(refusals).toHaveLength(4);
  });

  it('that says in a round what it said in another is refused: each message is of one session', async () => {
    const [bank] = federation.organisations;
    const said = new Map<string, Uint8Array>();
    const reply = bank.reply.bind(bank);
    const spy = vi.spyOn(bank, 'reply').mockImplementation((roundId, phase, message) => {
      const earlier = said.get(phase);
      said.set(phase, message);
      return reply(roundId, phase, phase === 'advertising' && earlier !== undefined ? earlier : message);
    });
    try {
      expect(unmasked(await aRound())).toEqual(everyone);
      const deadlinesMs = { advertising: 500, sharing: 20_000, training: 20_000, checking: 20_000, unmasking: 20_000 };
      expect(unmasked(await aRound({ deadlinesMs }))).toEqual(everyone.slice(1));
      const refusal = bank.replies.findLast(({ ok }) => !ok);
      expect(refusal).toMatchObject({ error: { code: 'secagg/wrong-session' } });
    } finally {
      spy.mockRestore();
    }
  });

  it('that floods its socket is told to wait, and the others are not', async () => {
    const [, , , museum] = federation.organisations;
    const codes = await Promise.all(
      Array.from({ length: 3 * BURST }, async () => {
        const answer = await museum.reply('none', 'advertising', new Uint8Array(1));
        return answer.ok ? 'ok' : answer.error.code;
      }),
    );
    expect(codes.filter((code) => code === 'request/too-many').length).toBeGreaterThanOrEqual(BURST);
    expect(new Set(codes)).toEqual(new Set(['round/unknown', 'request/too-many']));
    const deadlinesMs = { advertising: 1_000, sharing: 20_000, training: 20_000, checking: 20_000, unmasking: 20_000 };
    expect(unmasked(await aRound({ deadlinesMs }))).toEqual(expect.arrayContaining(everyone.slice(0, 3)));
  });
});
