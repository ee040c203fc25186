import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Request } from 'express';
import { afterEach, describe, expect, it } from 'vitest';
import { readOut } from './bodies.js';

const MOST = 1 << 20;
const LONGEST_MS = 100;
let server: Server;
let socket: Socket;

/** Begins to send to a server that answers at once and reads the rest. */
async function beginSending(headers: string): Promise<void> {
  server = createServer((request, response) => {
    response.statusCode = 413;
    response.end();
    readOut(request as Request, MOST, LONGEST_MS);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`POST / HTTP/1.1\r\nhost: here\r\n${headers}\r\n\r\n`);
}

async function answer(): Promise<string> {
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString('latin1');
}

/** However it ends: `once` of Node rejects when it is reset. */
function untilClosed(): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

afterEach(async () => {
  socket.destroy();
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

describe('a request that is answered before its end', () => {
  it('is read to its end, and the connection goes on', async () => {
    await beginSending('content-length: 1000');
    expect(await answer()).toContain('413');
    socket.write('x'.repeat(1000));
    socket.write('POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 0\r\n\r\n');
    expect(await answer()).toContain('413');
  });

  it('and has no end is cut off after so many bytes', async () => {
    await beginSending('transfer-encoding: chunked');
    expect(await answer()).toContain('413');
    const piece = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const closed = untilClosed();
    const write = (): void => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on('drain', write);
    write();
    await closed;
  });

  it('and stops in its middle is cut off after a while', async () => {
    await beginSending('content-length: 1000');
    expect(await answer()).toContain('413');
    socket.resume();
    await untilClosed();
  });
});
