/** A TCP proxy before PostgreSQL that cuts a connection at the worst moment: just before its commit arrives, or just after. */

import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A simple query, in PostgreSQL's protocol. */
const COMMIT = Buffer.from('COMMIT\0');

export class CommitCutter {
  private readonly sockets = new Set<Socket>();
  private next: 'before' | 'after' | undefined;

  private constructor(private readonly server: Server) {}

  /** `port`: of the server. */
  static async start(port: number): Promise<CommitCutter> {
    const server = createServer();
    const cutter = new CommitCutter(server);
    server.on('connection', (client) => cutter.join(client, port));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return cutter;
  }

  /** The address of a database by way of this. */
  through(url: string): string {
    const way = new URL(url);
    way.port = String((this.server.address() as AddressInfo).port);
    return way.href;
  }

  /** What becomes of the next connection that commits: the server never hears of it, or the client never hears back. */
  cut(when: 'before' | 'after'): void {
    this.next = when;
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }

  private join(client: Socket, port: number): void {
    const server = connect(port, '127.0.0.1');
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => [client, server].forEach((one) => one.destroy()));
    }
    server.pipe(client);
    client.on('data', (piece) => {
      const cuts = piece.includes(COMMIT) ? this.next : undefined;
      if (cuts === undefined) return void server.write(piece);
      this.next = undefined;
      server.unpipe(client);
      if (cuts === 'before') return void client.destroy();
      // The server has committed when it answers.
      server.once('data', () => client.destroy()).resume();
      server.write(piece);
    });
  }
}
