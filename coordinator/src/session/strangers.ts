/**
 * Sockets that have not said who they are: each may send what saying so takes, and no more, since a message is held in memory until it is
 * whole. How long they may stay is `connectTimeout` of the gateways.
 */

import type { Socket as TcpSocket } from 'node:net';

/** A token with room to spare. */
const MOST_BYTES = 64 * 1024;

/** What is needed of an engine.io connection. */
export interface EngineConnection {
  readonly request: { readonly socket: TcpSocket };
}

export class Strangers {
  private readonly stops = new WeakMap<object, () => void>();

  constructor(private readonly mostBytes = MOST_BYTES) {}

  /** Counts what a new connection sends, and ends it when that is too much. */
  watch(connection: EngineConnection): void {
    const { socket } = connection.request;
    let bytes = 0;
    const count = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > this.mostBytes) socket.destroy();
    };
    socket.on('data', count);
    this.stops.set(connection, () => socket.off('data', count));
  }

  /** Somebody has said who they are. */
  know(connection: object): void {
    this.stops.get(connection)?.();
    this.stops.delete(connection);
  }
}
