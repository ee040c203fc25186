/** Bytes over all connections of a server, those that have ended too. */

import type { Socket } from 'node:net';

type Direction = 'received' | 'sent';

export class Traffic {
  private readonly open = new Set<Socket>();
  private readonly ended = { received: 0, sent: 0 };

  add(socket: Socket): void {
    this.open.add(socket);
    socket.once('close', () => {
      this.open.delete(socket);
      for (const direction of ['received', 'sent'] as const) this.ended[direction] += bytesOf(socket, direction);
    });
  }

  /** Never less than before. */
  total(direction: Direction): number {
    return [...this.open].reduce((sum, socket) => sum + bytesOf(socket, direction), this.ended[direction]);
  }
}

function bytesOf(socket: Socket, direction: Direction): number {
  return direction === 'received' ? socket.bytesRead : socket.bytesWritten;
}
