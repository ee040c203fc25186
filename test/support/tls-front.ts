/** TLS in front of a server of this machine, as an operator's reverse proxy: its certificate can be replaced. */

import { readFile } from 'node:fs/promises';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { createServer, type Server } from 'node:tls';

const folder = resolve(import.meta.dirname, '..', 'fixtures', 'tls');

/** The authority that clients of the front are to trust. */
export const authority = join(folder, 'authority.pem');

/** `renewed` replaces `first`, with another key; `foreign` is of an authority that nobody trusts. */
export type Certificate = 'first' | 'renewed' | 'foreign';

export class TlsFront {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  /** @param port where connections go on to */
  static async start(port: number, certificate: Certificate): Promise<TlsFront> {
    const server = createServer(await contextOf(certificate));
    const front = new TlsFront(server);
    server.on('secureConnection', (client) => {
      const inner = connect(port, '127.0.0.1');
      for (const [socket, other] of [
        [client, inner],
        [inner, client],
      ]) {
        front.sockets.add(socket);
        socket.pipe(other);
        socket.on('error', () => other.destroy());
        socket.on('close', () => {
          front.sockets.delete(socket);
          other.destroy();
        });
      }
    });
    server.on('tlsClientError', () => undefined); // A client that does not trust it.
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return front;
  }

  get url(): string {
    return `https://localhost:${(this.server.address() as AddressInfo).port}`;
  }

  /** New connections get this certificate, and none of before goes on: as a proxy that starts again. */
  async present(certificate: Certificate): Promise<void> {
    this.server.setSecureContext(await contextOf(certificate));
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((closed) => this.server.close(closed));
  }
}

async function contextOf(certificate: Certificate): Promise<{ readonly key: Buffer; readonly cert: Buffer }> {
  const [key, cert] = await Promise.all(
    ['key', 'pem'].map((ending) => readFile(join(folder, `${certificate}.${ending}`))),
  );
  return { key, cert };
}
