/**
 * How coordinators on one database know each other: a header on what one passes on to another, which says whose request it is.
 *
 * `1 MILLISECONDS NONCE ADDRESS PROTOCOL MAC`. The MAC is HMAC-SHA256, with a secret that all derive from `coordinator.key`, over all of
 * it and over method, target and host of the request.
 *
 * Guarantee  Of a client's address nobody is believed but who has the key; and each header once, within half a minute, for that request.
 * It does not keep the rest of the request from whoever is on the way: that is the network's between the coordinators.
 */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { FedloraError } from '@fedlora/shared';
import { networkOf } from '../access/rate-limits.js';

export const PEER_HEADER = 'x-fedlora-peer';

/** For which the shared secret is. */
export const PEER_PURPOSE = 'requests between coordinators';

/** Between the clocks of two machines, and between sending and arriving. */
const MOST_APART_MS = 30_000;
/** How long an address counts as a peer's after its last request; each is asked every two seconds while it can pass anything on. */
const PEER_MS = 60_000;
const HEADER = /^1 (\d{1,16}) ([\w-]{22}) (\S{1,300}) (https?) ([0-9a-f]{64})$/;

/** Of the client whose request it is, as whoever it reached first knows it. */
export interface Caller {
  readonly address: string;
  readonly protocol: string;
  /** Under which the logs of both coordinators know it. */
  readonly requestId?: string;
}

/** What of a request the header is for. */
type Request = Pick<IncomingMessage, 'method' | 'url'> & { readonly headers: { readonly host?: string | undefined } };

export class Peers {
  /** Until when each is remembered. */
  private readonly nonces = new Map<string, number>();
  /** By network: until when. */
  private readonly addresses = new Map<string, number>();

  constructor(
    private readonly secret: Uint8Array,
    private readonly now: () => number,
  ) {}

  /** The header for a request that is passed on. */
  headerFor(request: Request, { address, protocol }: Caller): string {
    const nonce = randomBytes(16).toString('base64url');
    const said = `1 ${this.now()} ${nonce} ${encodeURIComponent(address)} ${protocol}`;
    return `${said} ${this.macOf(said, request).toString('hex')}`;
  }

  /**
   * Whose request it is, if a coordinator passed it on; `undefined` if it came from anybody else, whatever its header says.
   *
   * @throws FedloraError coordinator/relay-refused: a coordinator's header, but too old, or seen before
   */
  callerOf(
    request: Request & { readonly socket: Pick<IncomingMessage['socket'], 'remoteAddress'> },
  ): Caller | undefined {
    const header = (request.headers as IncomingMessage['headers'])[PEER_HEADER];
    const parts = typeof header === 'string' ? HEADER.exec(header) : null;
    if (parts === null) return undefined;
    const [whole, time, nonce, address, protocol, mac] = parts;
    const said = whole.slice(0, -mac.length - 1);
    if (!timingSafeEqual(Buffer.from(mac, 'hex'), this.macOf(said, request))) return undefined;
    const now = this.now();
    if (Math.abs(now - Number(time)) > MOST_APART_MS)
      throw new FedloraError(
        'coordinator/relay-refused',
        `A request between coordinators says it is ${String(Math.round((now - Number(time)) / 1000))} seconds old.`,
      );
    forgetUntil(this.nonces, now);
    if (this.nonces.has(nonce))
      throw new FedloraError('coordinator/relay-refused', 'A request between coordinators came a second time.');
    this.nonces.set(nonce, now + 2 * MOST_APART_MS);
    this.welcome(request.socket.remoteAddress, now);
    return { address: decodeURIComponent(address), protocol };
  }

  /** Whether a coordinator's requests came from this address lately. */
  isPeer(address: string): boolean {
    return (this.addresses.get(networkOf(address)) ?? 0) > this.now();
  }

  private welcome(address: string | undefined, now: number): void {
    if (address === undefined) return;
    forgetUntil(this.addresses, now);
    const network = networkOf(address);
    this.addresses.delete(network); // The latest come last.
    this.addresses.set(network, now + PEER_MS);
  }

  private macOf(said: string, { method, url, headers: { host } }: Request): Buffer {
    return createHmac('sha256', this.secret)
      .update(JSON.stringify([said, method, url, host ?? null]))
      .digest();
  }
}

/** Of entries in the order of their ends. */
function forgetUntil(ends: Map<string, number>, now: number): void {
  for (const [key, end] of ends) {
    if (end > now) return;
    ends.delete(key);
  }
}
