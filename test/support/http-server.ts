/** A tiny HTTP server for tests. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TestServer {
  readonly url: string;
  close(): Promise<void>;
}

export async function serve(
  handle: (request: IncomingMessage, body: Buffer, response: ServerResponse) => void,
): Promise<TestServer> {
  const server: Server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => handle(request, Buffer.concat(pieces), response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** A sign-in that gives numbered tokens. */
export function fakeSignIn(): { token: () => Promise<string>; forget: () => void; current: () => string } {
  let number = 1;
  return {
    token: () => Promise.resolve(`token-${number}`),
    forget: () => (number += 1),
    current: () => `token-${number}`,
  };
}
