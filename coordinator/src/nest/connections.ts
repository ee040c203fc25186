/**
 * What connections may take of this process before anybody has said who they are: there are only so many, of one address and of all,
 * and none keeps its place by dribbling.
 *
 * A proxy's connections are those of many, and what bounds each of these is the proxy's business: only the number of all counts.
 */

import type { Server } from 'node:http';
import { networkOf } from '../access/rate-limits.js';

export interface ConnectionLimits {
  /** Of one address, or one IPv6 network. Many clients may share one; each holds a handful. */
  readonly ofOneAddress: number;
  readonly ofAll: number;
  /** From the first byte of a request to the end of its headers, in milliseconds; Node looks every half a minute. */
  readonly headersMs: number;
  /** Between requests, in milliseconds. Longer than proxies keep theirs (nginx: 60 s): who closes first loses no request. */
  readonly idleMs: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  ofOneAddress: 500,
  ofAll: 10_000,
  headersMs: 20_000,
  idleMs: 75_000,
};

/** Holds a server to these limits. Connections beyond them are closed before a byte of them is read. */
export function limitConnections(
  server: Server,
  isProxy: (address: string) => boolean,
  { ofOneAddress, ofAll, headersMs, idleMs }: ConnectionLimits = CONNECTION_LIMITS,
): void {
  server.headersTimeout = headersMs;
  server.keepAliveTimeout = idleMs;
  server.maxConnections = ofAll;
  const open = new Map<string, number>();
  // Before Node's own listener, which would begin to read.
  server.prependListener('connection', (socket) => {
    const address = socket.remoteAddress;
    if (address === undefined || isProxy(address)) return;
    const network = networkOf(address);
    const count = (open.get(network) ?? 0) + 1;
    if (count > ofOneAddress) {
      socket.destroy();
      return;
    }
    open.set(network, count);
    socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1;
      if (left === 0) open.delete(network);
      else open.set(network, left);
    });
  });
}
