/** Servers of our own with small limits, since real ones take minutes. */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { CONNECTION_LIMITS, limitConnections, type ConnectionLimits } from './connections.js';

let server: Server;
const sockets: Socket[] = [];

async function listen(limits: Partial<ConnectionLimits>, isProxy = (): boolean => false): Promise<void> {
  server = createServer({ connectionsCheckingInterval: 20 }, (_request, response) => response.end('here'));
  limitConnections(server, isProxy, { ...CONNECTION_LIMITS, ...limits });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
}

/** A connection from an address of this machine. */
async function open(localAddress = '127.0.0.1'): Promise<Socket> {
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined); // A reset is one of the expected ends.
  sockets.push(socket);
  await once(socket, 'connect');
  return socket;
}

/** However it ends: `once` of Node rejects when it is reset. */
async function untilClosed(socket: Socket): Promise<void> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
}

/** What a connection answers to a whole request; `undefined` if it is closed instead. */
async function ask(socket: Socket): Promise<string | undefined> {
  socket.write('GET / HTTP/1.1\r\nhost: here\r\n\r\n');
  const [answer] = await Promise.race([
    new Promise<[Buffer]>((resolve) => socket.once('data', (bytes: Buffer) => resolve([bytes]))),
    untilClosed(socket).then(() => [undefined]),
  ]);
  return answer?.toString('latin1');
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

describe('connections', () => {
  it('beyond those that one address may have are closed, and another address is still served', async () => {
    await listen({ ofOneAddress: 5 });
    const first = await Promise.all(Array.from({ length: 5 }, () => open()));
    const flood = await Promise.all(Array.from({ length: 50 }, () => open()));
    await Promise.all(flood.map((socket) => untilClosed(socket)));
    expect(await ask(await open('127.0.0.2'))).toContain('200 OK');
    expect(await ask(first[0])).toContain('200 OK');
  });

  it('that end make room for others of their address', async () => {
    await listen({ ofOneAddress: 1 });
    const first = await open();
    expect(await ask(first)).toContain('200 OK');
    expect(await ask(await open())).toBeUndefined();
    first.destroy();
    await untilClosed(first);
    await wait(20); // The server hears of it.
    expect(await ask(await open())).toContain('200 OK');
  });

  it('of a trusted proxy are those of many, and count for all together only', async () => {
    await listen({ ofOneAddress: 1, ofAll: 10 }, () => true);
    const held = await Promise.all(Array.from({ length: 10 }, () => open()));
    expect(await ask(held[9])).toContain('200 OK');
    expect(await ask(await open())).toBeUndefined();
  });

  it('on which the headers of a request dribble are ended, while others are served', async () => {
    await listen({ headersMs: 100 });
    const slow = await Promise.all(Array.from({ length: 100 }, () => open()));
    const timer = setInterval(() => {
      for (const socket of slow) if (socket.writable) socket.write('x');
    }, 10);
    try {
      for (const socket of slow) {
        socket.write('GET / HTTP/1.1\r\nx-slow: ');
        socket.resume();
      }
      expect(await ask(await open())).toContain('200 OK');
      await Promise.all(slow.map((socket) => untilClosed(socket)));
    } finally {
      clearInterval(timer);
    }
  });
});
