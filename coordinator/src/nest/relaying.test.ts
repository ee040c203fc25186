/** A coordinator that stands by, before a driver of our own that does what no driver should. */

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as ask,
  type ClientRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import express, { type NextFunction, type Request, type Response } from 'express';
import { FedloraError } from '@fedlora/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RawConnection } from '../../../test/support/raw-connection.js';
import { PEER_HEADER, Peers } from '../relay/peers.js';
import { Relay } from '../relay/relay.js';
import { relaying, relayUpgrades } from './relaying.js';

const MIB = 1024 * 1024;
/** What two loopback connections and the streams at their ends hold, at most. */
const ON_THE_WAY = 48 * MIB;
const silent = { error() {}, warn() {}, info() {}, debug() {}, child: () => silent };
const peers = new Peers(new Uint8Array(32), Date.now);

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let handle: Handler;
let upgrade: (request: IncomingMessage, socket: Socket, head: Buffer) => void;
let driver: Server;
let standby: Server;
let relay: Relay;
const driving = { isDriving: false };

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return urlOf(server);
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeEach(async () => {
  driving.isDriving = false;
  handle = (_request, response) => response.end('from the driver');
  driver = createServer((request, response) => {
    if (request.url === '/healthz') response.end();
    else handle(request, response);
  });
  driver.on('upgrade', (request, socket: Socket, head: Buffer) => upgrade(request, socket, head));
  await listen(driver);
  const app = express();
  standby = createServer(app);
  relay = new Relay({ peers, ownUrl: await listen(standby), log: silent });
  const parts = { driving, peers, relay, log: silent };
  app.set('trust proxy', 'loopback');
  app.use((request: Request, _response, next) => {
    Object.assign(request, { id: 'of-the-log' });
    next();
  });
  app.use(relaying(parts, PATIENCE_MS));
  app.use((request: Request, response: Response) => void response.send(`from here, for ${request.ip ?? ''}`));
  app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) next(error);
    else response.status(503).send(FedloraError.from(error).code);
  });
  standby.on('upgrade', (_request, socket: Socket) => socket.end('from here'));
  relayUpgrades(standby, app, parts, PATIENCE_MS);
});

/** Long enough for what must happen before it, since nothing that a test waits for comes after it. */
const PATIENCE_MS = 1500;

afterEach(async () => {
  relay.close();
  for (const server of [driver, standby]) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

/** Resolves when what comes is passed on. */
async function link(token = 1, peerUrl = urlOf(driver)): Promise<void> {
  relay.follow({ token, peerUrl });
  await relay.untilWay(new AbortController().signal);
}

function start(method: string, path: string, headers: Readonly<Record<string, string>> = {}): ClientRequest {
  return ask(urlOf(standby) + path, { method, headers, agent: new Agent() });
}

async function answerOf(
  request: ClientRequest,
): Promise<{ status: number; text: string; headers: IncomingMessage['headers'] }> {
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const piece of answer) text += String(piece);
  return { status: answer.statusCode ?? 0, text, headers: answer.headers };
}

const post = (path = '/api/v1/runs', headers = {}) => answerOf(start('POST', path, headers).end());

describe('a request at a coordinator that stands by', () => {
  it('is answered there if it is the same everywhere, and otherwise by the driver, as it is', async () => {
    await link();
    handle = (_request, response) => {
      response.writeHead(418, {
        'content-type': 'application/problem+json',
        'set-cookie': ['a=1', 'b=2'],
        etag: '"x"',
      });
      response.end('{"code":"some/code"}');
    };
    expect(await answerOf(start('GET', '/runs').end())).toMatchObject({ text: 'from here, for 127.0.0.1' });
    const { status, text, headers } = await post();
    expect([status, text]).toEqual([418, '{"code":"some/code"}']);
    expect(headers).toMatchObject({
      'content-type': 'application/problem+json',
      'set-cookie': ['a=1', 'b=2'],
      etag: '"x"',
    });
  });

  it('goes on with what is meant for the other end, under its id, and with the client’s own address and protocol', async () => {
    await link();
    const got: IncomingMessage[] = [];
    handle = (request, response) => {
      got.push(request);
      response.end();
    };
    await post('/api/v1/runs?a=b%20c', {
      host: 'fedlora.example.org',
      connection: 'close, x-hop',
      'x-hop': '1',
      te: 'trailers',
      'x-kept': '2',
      'x-forwarded-for': '203.0.113.5',
      'x-forwarded-proto': 'https',
      'x-request-id': 'of-the-client',
      [PEER_HEADER]: 'forged',
    });
    const [request] = got;
    expect([request.method, request.url]).toEqual(['POST', '/api/v1/runs?a=b%20c']);
    expect(request.headers).toMatchObject({ host: 'fedlora.example.org', 'x-kept': '2', 'x-request-id': 'of-the-log' });
    for (const name of ['x-hop', 'te', 'x-forwarded-for', 'x-forwarded-proto'])
      expect(request.headers).not.toHaveProperty(name);
    expect(peers.callerOf(request)).toEqual({ address: '203.0.113.5', protocol: 'https' });
  });

  it('keeps its host when its client declares that for this connection only', async () => {
    await link();
    handle = (request, response) => response.end(String(peers.callerOf(request)?.address));
    expect(await post('/api/v1/runs', { connection: 'close, host, x-fedlora-peer' })).toMatchObject({
      text: '127.0.0.1',
    });
  });

  it.each(['content-length', 'transfer-encoding'])(
    'streams its body with %s: what the driver does not take, nobody holds',
    async (framing) => {
      await link();
      const piece = randomBytes(MIB);
      const pieces = 64;
      const asked = new Promise<[IncomingMessage, ServerResponse]>((resolve) => (handle = (...both) => resolve(both)));
      const length: Record<string, string> =
        framing === 'content-length' ? { 'content-length': String(pieces * MIB) } : {};
      const request = start('PATCH', '/api/v1/rounds/some/contribution', length);
      const sent = createHash('sha256');
      let given = 0;
      const pour = (): void => {
        while (given < pieces) {
          given += 1;
          sent.update(piece);
          if (given === pieces) return void request.end(piece);
          if (!request.write(piece)) return;
        }
      };
      request.on('drain', pour);
      pour();
      const [got, response] = await asked;
      // Until nothing moves any more.
      for (let before = -1; before !== given;) {
        before = given;
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      expect(given * MIB).toBeLessThan(ON_THE_WAY);
      const received = createHash('sha256');
      for await (const bytes of got) received.update(bytes as Buffer);
      response.end(received.digest('hex'));
      expect(await answerOf(request)).toMatchObject({ text: sent.digest('hex') });
    },
  );

  it('streams its answer: the driver makes no more than the client takes', async () => {
    await link();
    const piece = randomBytes(MIB);
    let made = 0;
    handle = (_request, response) => {
      const pour = (): void => {
        while ((made += 1) < 2000 && response.write(piece));
      };
      response.on('drain', pour);
      pour();
    };
    const [answer] = (await once(start('POST', '/api/v1/runs').end(), 'response')) as [IncomingMessage];
    for (let before = -1; before !== made;) {
      before = made;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(made * MIB).toBeLessThan(ON_THE_WAY);
    answer.destroy();
  });

  it('ends at the driver when its client goes away', async () => {
    await link();
    const asked = new Promise<IncomingMessage>((resolve) => (handle = (got) => resolve(got)));
    const request = start('POST', '/api/v1/runs', { 'content-length': '10' });
    request.on('error', () => undefined);
    request.write('12345');
    const got = await asked;
    const gone = once(got, 'error');
    request.destroy();
    await gone;
  });

  it('breaks off where the driver’s answer breaks off', async () => {
    await link();
    handle = (_request, response) => {
      response.writeHead(200, { 'content-length': '10' }).write('12345', () => response.destroy());
    };
    await expect(post()).rejects.toThrow('aborted');
  });

  it('is not asked again when the driver goes away in the middle, since that may have done it', async () => {
    await link();
    let count = 0;
    handle = (request) => {
      count += 1;
      request.socket.destroy();
    };
    expect(await post()).toMatchObject({ status: 503, text: 'coordinator/driver-lost' });
    expect(count).toBe(1);
  });

  it('is asked again when a connection from before was closed as it was taken, and there is nothing to be done twice', async () => {
    await link();
    const seen = new Set<Socket>();
    handle = ({ socket }, response) => {
      if (seen.has(socket)) socket.destroy();
      else response.end('a fresh connection');
      seen.add(socket);
    };
    for (let i = 0; i < 2; i += 1)
      expect(await answerOf(start('GET', '/api/v1/runs').end())).toMatchObject({ text: 'a fresh connection' });
    expect(seen.size).toBe(2);
  });

  it('gets the answer that comes before the end of its body, and keeps its connection', async () => {
    await link();
    handle = (_request, response) => response.writeHead(413).end('too long');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const first = ask(`${urlOf(standby)}/api/v1/runs`, { method: 'POST', agent });
    first.write(Buffer.alloc(MIB));
    expect(await answerOf(first)).toMatchObject({ status: 413, text: 'too long' });
    first.end(Buffer.alloc(MIB));
    const second = ask(`${urlOf(standby)}/api/v1/runs`, { method: 'POST', agent }).end();
    expect(await answerOf(second)).toMatchObject({ status: 413 });
    agent.destroy();
  });

  it('waits while nobody drives, and goes to whoever drives next', async () => {
    relay.follow(undefined);
    const asked = post();
    await link();
    expect(await asked).toMatchObject({ text: 'from the driver' });
  });

  it('is not held up for long without a driver, and what is only read is answered there at once', async () => {
    driver.closeAllConnections();
    relay.follow({ token: 1, peerUrl: urlOf(driver).replace(/\d+$/, '1') }); // Nobody listens there.
    expect(await answerOf(start('GET', '/api/v1/runs').end())).toMatchObject({ text: 'from here, for 127.0.0.1' });
    expect(await post()).toMatchObject({ status: 503, text: 'coordinator/standing-by' });
    expect(relay.refusal()).toMatchObject({ code: 'coordinator/standing-by', details: { retryAfterMs: 2000 } });
    expect(relay.refusal().summary).toContain('ECONNREFUSED');
  });

  it('is this coordinator’s at once where the driver names no address, and when it becomes the driver itself', async () => {
    relay.follow({ token: 1, peerUrl: undefined });
    expect(await post()).toMatchObject({ text: 'from here, for 127.0.0.1' });
    relay.follow(undefined);
    const asked = post();
    driving.isDriving = true;
    relay.close();
    expect(await asked).toMatchObject({ text: 'from here, for 127.0.0.1' });
  });

  it('is ended when another drives, whatever the one before still does with it', async () => {
    await link();
    const taken = new Promise<void>((resolve) => (handle = () => resolve()));
    const asked = post();
    await taken;
    relay.follow({ token: 2, peerUrl: undefined });
    expect(await asked).toMatchObject({ status: 503, text: 'coordinator/driver-lost' });
  });

  it('that was passed on goes no further, and the address in it counts where the driver is', async () => {
    await link(1, urlOf(driver));
    const passedOn = () => {
      const host = new URL(urlOf(standby)).host;
      const caller = { address: '203.0.113.5', protocol: 'https' };
      return {
        host,
        [PEER_HEADER]: peers.headerFor({ method: 'POST', url: '/api/v1/runs', headers: { host } }, caller),
      };
    };
    expect(await post('/api/v1/runs', passedOn())).toMatchObject({ status: 503, text: 'coordinator/standing-by' });
    driving.isDriving = true;
    expect(await post('/api/v1/runs', passedOn())).toMatchObject({ text: 'from here, for 203.0.113.5' });
    const twice = passedOn();
    await post('/api/v1/runs', twice);
    expect(await post('/api/v1/runs', twice)).toMatchObject({ text: 'coordinator/relay-refused' });
    const forged = { [PEER_HEADER]: twice[PEER_HEADER].replace('203.0.113.5', '203.0.113.6') };
    expect(await post('/api/v1/runs', forged)).toMatchObject({ text: 'from here, for 127.0.0.1' });
  });

  it('never goes to the own address, where whoever drove before has died', async () => {
    relay.follow({ token: 1, peerUrl: urlOf(standby) });
    expect(relay.way).toBeUndefined();
    expect(await answerOf(start('GET', '/api/v1/runs').end())).toMatchObject({ text: 'from here, for 127.0.0.1' });
  });
});

describe('a socket at a coordinator that stands by', () => {
  const raw: RawConnection[] = [];
  afterEach(() => {
    for (const connection of raw.splice(0)) connection.end();
  });

  async function open(more = ''): Promise<RawConnection> {
    const connection = await RawConnection.open(urlOf(standby));
    raw.push(connection);
    connection.say(
      `GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n${more}`,
    );
    return connection;
  }

  const echo: typeof upgrade = (request, socket, head) => {
    socket.on('error', () => undefined);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Accept: 1\r\n\r\nhello ',
    );
    socket.write(`${peers.callerOf(request)?.address ?? ''} `);
    socket.write(head);
    socket.pipe(socket);
  };

  it('is the driver’s from the first byte, and each end learns when the other goes', async () => {
    await link();
    const atDriver: Socket[] = [];
    upgrade = (request, socket, head) => {
      atDriver.push(socket);
      echo(request, socket, head);
    };
    const one = await open('early ');
    await one.hears('X-Accept: 1\r\n\r\nhello 127.0.0.1 early ');
    one.say('late');
    await one.hears('late');
    const closed = once(atDriver[0], 'close');
    one.end();
    await closed;
    const other = await open();
    await other.hears('hello');
    atDriver[1].destroy();
    await other.closed();
  });

  it('that the driver cuts off takes the way from nobody else', async () => {
    await link();
    upgrade = (_request, socket) => socket.destroy();
    const one = await open();
    await one.closed();
    expect(one.text).toContain('"code":"coordinator/driver-lost"');
    expect(relay.way).toBeDefined();
  });

  it('is ended when another drives, so that its client comes back', async () => {
    await link();
    upgrade = echo;
    const one = await open();
    await one.hears('hello');
    relay.follow({ token: 2, peerUrl: undefined });
    await one.closed();
  });

  it('hears what the driver says instead', async () => {
    await link();
    upgrade = (_request, socket) =>
      socket.end('HTTP/1.1 400 Bad Request\r\nX-Reason: some\r\nContent-Length: 2\r\n\r\nno');
    const one = await open();
    await one.closed();
    expect(one.text).toMatch(/^HTTP\/1\.1 400 Bad Request\r\nx-reason: some\r\n[^]*\r\n\r\nno$/);
  });

  it('is refused when there is no driver for a while, with when to come again', async () => {
    relay.follow(undefined);
    const one = await open();
    await one.closed();
    expect(one.text).toMatch(/^HTTP\/1\.1 503 [^]*retry-after: 2\r\n[^]*"code":"coordinator\/standing-by"/);
  });

  it('that was passed on goes no further', async () => {
    await link();
    const header = peers.headerFor(
      { method: 'GET', url: '/socket.io/?EIO=4', headers: { host: 'here' } },
      { address: '203.0.113.5', protocol: 'http' },
    );
    const one = await RawConnection.open(urlOf(standby));
    raw.push(one);
    one.say(
      `GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${PEER_HEADER}: ${header}\r\n\r\n`,
    );
    await one.closed();
    expect(one.text).toContain('"code":"coordinator/standing-by"');
  });

  it('is this coordinator’s where it drives itself', async () => {
    driving.isDriving = true;
    const one = await open();
    await one.closed();
    expect(one.text).toBe('from here');
  });
});
