/**
 * A TCP proxy that makes loopback as slow as a network: each connection is a link of its own, with a delay and a rate each way.
 *
 * Bytes are passed on in order and never lost. A sender that is faster than its link is held back, as by a full window.
 */

import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface LinkProfile {
  /** One way, in milliseconds. */
  readonly latencyMs: number;
  /** Each way, in bytes for each second; without, as fast as loopback is. */
  readonly bytesPerSecond: number | undefined;
}

/** Of a second: a piece takes no longer than this to pass, so that bytes trickle and do not come in lumps. */
const PIECE_SECONDS = 0.1;
/** Bytes under way beyond what the link holds by itself: more are not read from the sender. */
const BUFFER_BYTES = 64 * 1024;

export class ShapedLinks {
  private readonly sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {}

  /** Listens on loopback, and passes connections on to that port. */
  static async start(port: number, profile: LinkProfile): Promise<ShapedLinks> {
    const server = createServer({ allowHalfOpen: true });
    const links = new ShapedLinks(server);
    server.on('connection', (client) => {
      const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      links.join(client, upstream, profile);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return links;
  }

  get url(): string {
    // Safe: it listens on a port.
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket, upstream: Socket, profile: LinkProfile): void {
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ]) {
      this.sockets.add(from);
      from.setNoDelay(true);
      const way = new OneWay(from, to, profile);
      from.on('data', (piece: Buffer) => way.take(piece));
      from.on('end', () => way.end());
      from.on('error', () => to.destroy());
      from.on('close', (hadError) => {
        this.sockets.delete(from);
        if (hadError) to.destroy();
      });
    }
  }
}

/** One direction of a link. */
class OneWay {
  /** Pieces under way with the time at which each arrives; an empty one is the end. */
  private readonly underWay: { readonly at: number; readonly piece: Buffer }[] = [];
  private bytesUnderWay = 0;
  /** When the last piece has been put on the link. */
  private freeAt = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly most: number;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly profile: LinkProfile,
  ) {
    const { latencyMs, bytesPerSecond = 0 } = profile;
    this.most = BUFFER_BYTES + (bytesPerSecond * latencyMs) / 1000;
    to.on('close', () => clearTimeout(this.timer));
  }

  take(bytes: Buffer): void {
    const { bytesPerSecond } = this.profile;
    const most = bytesPerSecond === undefined ? bytes.length : Math.max(1, Math.floor(bytesPerSecond * PIECE_SECONDS));
    for (let at = 0; at < bytes.length; at += most) this.send(bytes.subarray(at, at + most));
    if (this.bytesUnderWay > this.most) this.from.pause();
  }

  end(): void {
    this.send(Buffer.alloc(0));
  }

  private send(piece: Buffer): void {
    const { latencyMs, bytesPerSecond } = this.profile;
    const seconds = bytesPerSecond === undefined ? 0 : piece.length / bytesPerSecond;
    this.freeAt = Math.max(this.freeAt, performance.now()) + 1000 * seconds;
    this.underWay.push({ at: this.freeAt + latencyMs, piece });
    this.bytesUnderWay += piece.length;
    if (this.timer === undefined) this.wait();
  }

  private wait(): void {
    const [next] = this.underWay;
    this.timer = next === undefined ? undefined : setTimeout(() => this.arrive(), next.at - performance.now());
  }

  private arrive(): void {
    const now = performance.now();
    for (let [next] = this.underWay; next !== undefined && next.at <= now; [next] = this.underWay) {
      this.underWay.shift();
      this.bytesUnderWay -= next.piece.length;
      if (next.piece.length === 0) this.to.end();
      else this.to.write(next.piece);
    }
    if (this.bytesUnderWay <= this.most) this.from.resume();
    this.wait();
  }
}
