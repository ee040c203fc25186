/**
 * A TCP proxy that does to connections what networks do: delays, cuts, swallows and corrupts, at random places from a seed.
 *
 * Faults     delay: each piece waits a while | cut: both sides are reset in the middle of a piece | stall: nothing passes any more,
 *            both sides stay open for a while | corrupt: one bit of one piece is flipped
 */

import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net';

export type Fault = 'none' | 'delay' | 'cut' | 'stall' | 'corrupt';

export interface FaultyProxyOptions {
  /** Where connections go on to. */
  readonly port: number;
  /** In [0, 1): what the next connection suffers, and where, follows from it. */
  readonly random: () => number;
  /** Weight of each fault among connections; default: half of them are sound. */
  readonly weights?: Readonly<Record<Fault, number>>;
}

const WEIGHTS: Readonly<Record<Fault, number>> = { none: 4, delay: 1, cut: 1, stall: 1, corrupt: 1 };
/** A fault strikes after so many bytes, at most: within a round's traffic of one connection. */
const WITHIN_BYTES = 60_000;
const STALL_MS = 4000;
const LONGEST_DELAY_MS = 150;

export class FaultyProxy {
  /** Connections by what they suffered. */
  readonly counts: Record<Fault, number> = { none: 0, delay: 0, cut: 0, stall: 0, corrupt: 0 };
  private readonly sockets = new Set<Socket>();
  /** While false, connections pass untouched. */
  isFaulty = true;

  private constructor(
    private readonly server: Server,
    private readonly options: FaultyProxyOptions,
  ) {}

  static async start(options: FaultyProxyOptions): Promise<FaultyProxy> {
    const server = createServer();
    const proxy = new FaultyProxy(server, options);
    server.on('connection', (client) => proxy.join(client));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(client: Socket): void {
    const server = connect(this.options.port, '127.0.0.1');
    const fault = this.isFaulty ? this.choose() : 'none';
    this.counts[fault]++;
    const link: Link = { fault, left: Math.floor(this.options.random() * WITHIN_BYTES), isOver: false };
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      this.sockets.add(from);
      from.on('data', (piece: Buffer) => this.pass(piece, from, to, link));
      from.on('end', () => {
        if (!link.isOver) to.end();
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        this.sockets.delete(from);
        if (!link.isOver) to.end();
      });
    }
  }

  private pass(piece: Buffer, from: Socket, to: Socket, link: Link): void {
    if (link.isOver) return;
    const strikes = link.left <= piece.length;
    link.left -= piece.length;
    switch (link.fault) {
      case 'none':
        to.write(piece);
        return;
      case 'delay':
        from.pause();
        setTimeout(() => {
          to.write(piece);
          from.resume();
        }, this.options.random() * LONGEST_DELAY_MS);
        return;
      case 'cut':
        if (!strikes) to.write(piece);
        else {
          link.isOver = true;
          to.write(piece.subarray(0, Math.floor(piece.length / 2)), () => {
            from.resetAndDestroy();
            to.resetAndDestroy();
          });
        }
        return;
      case 'stall':
        if (!strikes) to.write(piece);
        else {
          link.isOver = true;
          setTimeout(() => {
            from.destroy();
            to.destroy();
          }, STALL_MS).unref();
        }
        return;
      case 'corrupt': {
        if (strikes) {
          piece[Math.floor(this.options.random() * piece.length)] ^= 1 << Math.floor(this.options.random() * 8);
          link.left = WITHIN_BYTES; // and again later
        }
        to.write(piece);
        return;
      }
      default:
        link.fault satisfies never;
    }
  }

  private choose(): Fault {
    const weights = Object.entries(this.options.weights ?? WEIGHTS) as [Fault, number][];
    let at = this.options.random() * weights.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [fault, weight] of weights) if ((at -= weight) < 0) return fault;
    return 'none';
  }
}

interface Link {
  readonly fault: Fault;
  /** Bytes until the fault strikes. */
  left: number;
  isOver: boolean;
}
