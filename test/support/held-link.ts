/** A TCP proxy that a test can hold: what comes in waits then, and the test knows that somebody is waiting. */

import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export class HeldLink {
  private readonly sockets = new Set<Socket>();
  private readonly waiting: (() => void)[] = [];
  private isHeld = false;

  private constructor(
    private readonly server: Server,
    private readonly port: number,
  ) {}

  /** @param port of this machine, where connections go on to */
  static async start(port: number): Promise<HeldLink> {
    const server = createServer();
    const link = new HeldLink(server, port);
    server.on('connection', (client) => link.join(client));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return link;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Whether something has come since it was held, and has not gone on. */
  get holdsSomething(): boolean {
    return this.waiting.length > 0;
  }

  /** Nothing that comes goes on from now on. */
  hold(): void {
    this.isHeld = true;
  }

  /** Everything goes on. */
  release(): void {
    this.isHeld = false;
    for (const goOn of this.waiting.splice(0)) goOn();
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket): void {
    const server = connect(this.port, '127.0.0.1');
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      this.sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.sockets.delete(from);
        to.destroy();
      });
    }
    server.pipe(client);
    client.on('data', (piece: Buffer) => {
      if (!this.isHeld) return void server.write(piece);
      client.pause();
      this.waiting.push(() => {
        server.write(piece);
        client.resume();
      });
    });
  }
}
