/**
 * Passes on to the coordinator that drives the rounds what this one cannot answer while it stands by: requests and sockets, as they come,
 * byte for byte. Nothing of them is kept: whoever passes something on has no more of it than fits into the sockets on both sides.
 */

import * as http from 'node:http';
import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import * as https from 'node:https';
import { isIP, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { FedloraError } from '@fedlora/shared';
import type { Log } from '../observe/log.js';
import { LOOK_MS, standingBy, type Holder } from '../storage/lease.js';
import { endToEnd, withoutClaims } from './end-to-end.js';
import { PEER_HEADER, type Caller, type Peers } from './peers.js';

/** For the driver to take a connection, and to answer a probe or a wish for a WebSocket. */
const ANSWER_MS = 5000;
/** A WebSocket on which nothing goes for so long has nobody at one end: the driver pings each 25 seconds. */
const SILENCE_MS = 75_000;
const MOST_IDLE = 64;
/** The smallest answer there is. */
const PROBE = '/healthz';

export interface RelayParts {
  readonly peers: Peers;
  /** This coordinator's own address for the others; `undefined`: it passes nothing on. */
  readonly ownUrl: string | undefined;
  readonly log: Log;
}

/** The way to one driver, for as long as it drives. */
export interface Link {
  readonly token: number;
  readonly url: URL;
  readonly agent: http.Agent;
  /** What goes over it. */
  readonly open: Set<{ destroy(): unknown }>;
}

export class Relay {
  private link: Link | undefined;
  /** What keeps the link from being used; `undefined` while nothing does. */
  private trouble: string | undefined;
  /** Whether whatever comes is this coordinator's to answer or to refuse. */
  private isOff: boolean;
  private probing: Promise<void> | undefined;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly parts: RelayParts) {
    this.isOff = parts.ownUrl === undefined;
  }

  /** Told again and again who else drives; `undefined`: nobody does. What goes on over the way to another is ended. */
  follow(holder: Holder | undefined): void {
    const { ownUrl } = this.parts;
    if (ownUrl === undefined) return;
    if (this.link?.token !== holder?.token) this.end();
    // Of an older version, or without the setting: nobody knows where it is.
    this.isOff = holder !== undefined && holder.peerUrl === undefined;
    // At our own address is nobody: whoever drove from here before has died, and its lease runs out.
    if (this.link === undefined && holder?.peerUrl !== undefined && holder.peerUrl !== ownUrl) {
      const url = new URL(holder.peerUrl);
      const agent = new (transportOf(url).Agent)({ keepAlive: true, maxFreeSockets: MOST_IDLE });
      this.link = { token: holder.token, url, agent, open: new Set() };
      this.trouble = 'it has not answered yet';
    }
    // It is also how a driver learns our address before many connections come from it at once.
    if (this.link !== undefined) this.probing ??= this.probe(this.link).finally(() => (this.probing = undefined));
    this.wake();
  }

  /** This coordinator drives, or ends: it passes nothing on any more. */
  close(): void {
    this.isOff = true;
    this.end();
    this.wake();
  }

  /** Whether what this coordinator cannot answer is passed on, or waits until it can be. */
  get isOn(): boolean {
    return !this.isOff;
  }

  /** The way to the driver, if it can be used now. */
  get way(): Link | undefined {
    return this.trouble === undefined ? this.link : undefined;
  }

  /** The way to the driver as soon as it can be used; `undefined` if it cannot before the signal, or is no longer needed. */
  async untilWay(signal: AbortSignal): Promise<Link | undefined> {
    while (this.isOn && this.way === undefined && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const done = (): void => {
          this.waiting.delete(done);
          signal.removeEventListener('abort', done);
          resolve();
        };
        this.waiting.add(done);
        signal.addEventListener('abort', done);
      });
    }
    return this.way;
  }

  /** Why nothing can be passed on at the moment: coordinator/standing-by. */
  refusal(): FedloraError {
    return standingBy(
      this.link === undefined
        ? 'No coordinator drives the rounds at the moment.'
        : `The coordinator that drives the rounds cannot be reached: ${this.trouble ?? 'the connection ended'}.`,
    );
  }

  /**
   * Passes a request on, and its answer back.
   *
   * @returns whether it was; if not, the driver has seen nothing of it, and nothing of its body is read
   * @throws FedloraError coordinator/driver-lost: the driver was gone before it answered
   */
  async pass(link: Link, request: IncomingMessage, response: ServerResponse, caller: Caller): Promise<boolean> {
    const outgoing = transportOf(link.url).request({ ...this.onwards(link, request, caller), agent: link.agent });
    link.open.add(outgoing);
    const abandon = (): void => void outgoing.destroy();
    response.once('close', abandon);
    try {
      return await new Promise<boolean>((resolve, reject) => {
        let isBegun = false;
        untilConnected(outgoing, () => {
          isBegun = true;
          request.pipe(outgoing);
        });
        outgoing.once('response', (answer) => {
          response.statusCode = answer.statusCode ?? 502;
          for (const [name, value = ''] of Object.entries(endToEnd(answer))) response.setHeader(name, value);
          // What broke in the middle ends in the middle for the client, too.
          pipeline(answer, response, () => resolve(true));
        });
        outgoing.on('error', (cause) => {
          request.unpipe(outgoing);
          if (response.destroyed || response.headersSent) return resolve(true);
          if (!isBegun) this.lose(link, cause);
          // A connection from before may have been closed just as it was taken again.
          if (!isBegun || (outgoing.reusedSocket && isEmpty(request))) return resolve(false);
          reject(driverLost(cause));
        });
      });
    } finally {
      response.off('close', abandon);
      link.open.delete(outgoing);
      // Answered before its end: nobody wants the rest.
      if (response.headersSent && !request.complete) {
        request.unpipe(outgoing);
        outgoing.destroy();
      }
    }
  }

  /**
   * Passes on a request to become a WebSocket, and from then on all that goes over it.
   *
   * @returns the answer of a driver that did not let it become one
   * @throws FedloraError coordinator/standing-by: the driver could not be reached | coordinator/driver-lost: it did not answer
   */
  async passUpgrade(
    link: Link,
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
    caller: Caller,
  ): Promise<IncomingMessage | undefined> {
    const { upgrade } = request.headers;
    const outgoing = transportOf(link.url).request(
      this.onwards(link, request, caller, { connection: 'Upgrade', upgrade }),
    );
    link.open.add(outgoing);
    const abandon = (): void => void outgoing.destroy();
    socket.once('close', abandon);
    const timer = setTimeout(() => outgoing.destroy(new Error('no answer in time')), ANSWER_MS);
    let isConnected = false;
    try {
      return await new Promise((resolve, reject) => {
        untilConnected(outgoing, () => {
          isConnected = true;
          outgoing.end();
        });
        outgoing.once('response', resolve);
        outgoing.once('upgrade', (answer, driver: Socket, first) => {
          socket.write(`HTTP/1.1 101 Switching Protocols\r\n${linesOf(answer.rawHeaders)}\r\n`);
          if (first.length > 0) driver.unshift(first);
          if (head.length > 0) socket.unshift(head);
          join(link, socket, driver);
          resolve(undefined);
        });
        outgoing.on('error', (cause) => {
          // Neither who goes away nor whom the driver cuts off may take the way from the others.
          if (socket.destroyed) return resolve(undefined);
          if (isConnected) return reject(driverLost(cause));
          this.lose(link, cause);
          reject(this.refusal());
        });
      });
    } finally {
      clearTimeout(timer);
      socket.off('close', abandon);
      link.open.delete(outgoing);
    }
  }

  /** The same request to the driver, with whose it is. */
  private onwards(
    { url }: Pick<Link, 'url'>,
    { method = 'GET', url: path = '/', headers, headersDistinct }: IncomingMessage,
    caller: Caller,
    more: OutgoingHttpHeaders = {},
  ): https.RequestOptions {
    const { host = url.host, 'transfer-encoding': framing } = headers;
    const name = url.hostname.replace(/^\[(.+)\]$/, '$1');
    return {
      agent: false,
      host: name,
      // The certificate is the driver's, whose name is not what the client calls us.
      servername: isIP(name) === 0 ? name : '',
      port: url.port,
      method,
      path,
      headers: {
        ...withoutClaims(endToEnd({ headers, headersDistinct })),
        host,
        ...(caller.requestId === undefined ? {} : { 'x-request-id': caller.requestId }),
        ...(framing === undefined ? {} : { 'transfer-encoding': 'chunked' }),
        ...more,
        [PEER_HEADER]: this.parts.peers.headerFor({ method, url: path, headers: { host } }, caller),
      },
    };
  }

  private async probe(link: Link): Promise<void> {
    const caller = { address: 'coordinator', protocol: 'http' };
    const request = { method: 'GET', url: PROBE, headers: {}, headersDistinct: {} } as IncomingMessage;
    try {
      await new Promise<void>((resolve, reject) => {
        const outgoing = transportOf(link.url).request(this.onwards(link, request, caller));
        link.open.add(outgoing);
        const timer = setTimeout(() => outgoing.destroy(new Error('no answer in time')), ANSWER_MS);
        outgoing.once('response', (answer) => {
          answer.resume();
          if (answer.statusCode === 200) resolve();
          else reject(new Error(`it answers ${String(answer.statusCode)}`));
        });
        outgoing.once('error', reject);
        outgoing.once('close', () => {
          clearTimeout(timer);
          link.open.delete(outgoing);
        });
        outgoing.end();
      });
    } catch (error) {
      this.lose(link, error);
      return;
    }
    if (this.link !== link || this.trouble === undefined) return;
    this.trouble = undefined;
    this.parts.log.info('relay.linked', { url: link.url.origin });
    this.wake();
  }

  private lose(link: Link, cause: unknown): void {
    if (this.link !== link) return;
    const { message, code } = cause as NodeJS.ErrnoException;
    if (this.trouble === undefined) this.parts.log.warn('relay.lost', { url: link.url.origin, err: cause });
    this.trouble = message === '' ? code : message;
  }

  /** Ends all that goes over the link. */
  private end(): void {
    const { link } = this;
    this.link = undefined;
    this.trouble = undefined;
    this.probing = undefined;
    link?.agent.destroy();
    for (const one of link?.open ?? []) one.destroy();
  }

  private wake(): void {
    for (const done of this.waiting) done();
  }
}

/** By TLS if the driver's address says so; Node's own authorities are believed, and those of `NODE_EXTRA_CA_CERTS`. */
function transportOf({ protocol }: URL): typeof http | typeof https {
  return protocol === 'https:' ? https : http;
}

function driverLost(cause: Error): FedloraError {
  return new FedloraError('coordinator/driver-lost', undefined, { cause, details: { retryAfterMs: LOOK_MS } });
}

/** Calls back once the driver can be written to; what is written before would be lost with a connection that never was. */
function untilConnected(outgoing: ClientRequest, begin: () => void): void {
  const timer = setTimeout(() => outgoing.destroy(new Error('no connection in time')), ANSWER_MS);
  outgoing.once('close', () => clearTimeout(timer));
  outgoing.once('socket', (socket) => {
    const connected = (): void => {
      clearTimeout(timer);
      begin();
    };
    if (socket.connecting) socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', connected);
    else connected();
  });
}

/** From now on each has what the other says, and ends when it ends. */
function join(link: Link, socket: Socket, driver: Socket): void {
  for (const [from, to] of [
    [socket, driver],
    [driver, socket],
  ]) {
    link.open.add(from);
    from.setNoDelay();
    from.setTimeout(SILENCE_MS, () => from.destroy());
    from.once('close', () => {
      link.open.delete(from);
      to.destroySoon();
    });
    from.on('error', () => from.destroy());
    from.pipe(to);
  }
}

function isEmpty({ method, headers }: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': framing } = headers;
  return (method === 'GET' || method === 'HEAD') && length === undefined && framing === undefined;
}

/** Names and values in turn, as Node has them. */
function linesOf(rawHeaders: readonly string[]): string {
  let lines = '';
  for (let i = 0; i < rawHeaders.length; i += 2) lines += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
  return lines;
}
