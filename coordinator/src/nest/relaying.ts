/** Before anything else sees a request: whose it is, where another coordinator passed it on; and on to the driver, where this one stands by. */

import { randomUUID } from 'node:crypto';
import { ServerResponse, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Application, Request, RequestHandler, Response } from 'express';
import { FedloraError } from '@fedlora/shared';
import { answererOf } from '../relay/answerer.js';
import { endToEnd } from '../relay/end-to-end.js';
import { PEER_HEADER, type Caller, type Peers } from '../relay/peers.js';
import type { Log } from '../observe/log.js';
import type { Relay } from '../relay/relay.js';
import type { Driving } from '../rounds/driving.js';
import { standingBy } from '../storage/lease.js';
import type { KnownRequest } from './access.guard.js';
import { readOut } from './bodies.js';
import { problemOf } from './problem.js';

/** How long a request waits for a driver: somewhat longer than it takes when one ends in order and another takes over. */
const PATIENCE_MS = 3000;

export interface RelayingParts {
  readonly driving: Pick<Driving, 'isDriving'>;
  readonly peers: Peers;
  readonly relay: Relay;
  readonly log: Log;
}

/** For requests. After the request log, which gives them their ids, and before whatever reads bodies. */
export function relaying(parts: RelayingParts, patienceMs = PATIENCE_MS): RequestHandler {
  return (request, response, next) => {
    passOrAnswer(parts, request, response, patienceMs).then((isPassed) => {
      if (!isPassed) next();
    }, next);
  };
}

/** @returns whether it was passed on and answered, or there is nobody to answer */
async function passOrAnswer(
  { driving, peers, relay }: RelayingParts,
  request: Request,
  response: Response,
  patienceMs: number,
): Promise<boolean> {
  const caller = takeCaller(peers, request);
  if (caller !== undefined) {
    // It goes no further than this, so that there is no way around in circles.
    if (!driving.isDriving) throw standingBy('A request was passed on to a coordinator that stands by itself.');
    believe(request, caller);
  }
  if (driving.isDriving || !relay.isOn) return false;
  const answerer = answererOf(request.method, request.path, request.headers);
  if (answerer === 'any') return false;
  let patience: AbortSignal | undefined;
  for (;;) {
    let { way } = relay;
    if (way === undefined && answerer === 'driver')
      way = await relay.untilWay((patience ??= AbortSignal.timeout(patienceMs)));
    if (response.destroyed) return true;
    if (way === undefined && answerer === 'driver' && relay.isOn) throw relay.refusal();
    if (way === undefined) return false;
    if (!(await relay.pass(way, request, response, callerOf(request, (request as KnownRequest).id)))) continue;
    readOut(request);
    return true;
  }
}

/** For WebSockets: instead of whoever else listens for them, who get what is not passed on. */
export function relayUpgrades(
  server: Server,
  application: Application,
  parts: RelayingParts,
  patienceMs = PATIENCE_MS,
): void {
  const here = server.listeners('upgrade') as ((request: IncomingMessage, socket: Socket, head: Buffer) => void)[];
  server.removeAllListeners('upgrade');
  server.on('upgrade', (request, socket: Socket, head: Buffer) => {
    const fail = (): void => void socket.destroy();
    socket.on('error', fail);
    // As Express does with all others: from here on it knows who is behind the proxies.
    // Safe: it is where an application of Express has what its requests can do.
    Object.setPrototypeOf(request, (application as unknown as { readonly request: object }).request);
    passOrRefuse(parts, request as Request, socket, head, patienceMs)
      .catch((error: unknown) => refuse(parts, request, socket, error))
      .then((isDone) => {
        if (isDone) return;
        socket.off('error', fail);
        for (const listener of here) listener.call(server, request, socket, head);
      }, fail);
  });
}

/** @returns whether it is passed on or answered */
async function passOrRefuse(
  { driving, peers, relay }: RelayingParts,
  request: Request,
  socket: Socket,
  head: Buffer,
  patienceMs: number,
): Promise<boolean> {
  const caller = takeCaller(peers, request);
  if (caller !== undefined && !driving.isDriving)
    throw standingBy('A request was passed on to a coordinator that stands by itself.');
  if (driving.isDriving || !relay.isOn || !request.url.startsWith('/socket.io/')) return false;
  const way = await relay.untilWay(AbortSignal.timeout(patienceMs));
  if (socket.destroyed) return true;
  if (way === undefined && relay.isOn) throw relay.refusal();
  if (way === undefined) return false;
  const answer = await relay.passUpgrade(way, request, socket, head, callerOf(request));
  if (answer !== undefined)
    await answerRaw(request, socket, async (response) => {
      response.writeHead(answer.statusCode ?? 502, endToEnd(answer));
      await pipeline(answer, response);
    });
  return true;
}

/** Whose request it is if a coordinator passed it on. What else stands in the header is nobody's business from here on. */
function takeCaller(peers: Peers, request: IncomingMessage): Caller | undefined {
  try {
    return peers.callerOf(request);
  } finally {
    delete request.headers[PEER_HEADER];
  }
}

/** In the place of what Express would find out about a connection that is a coordinator's. */
function believe(request: Request, { address, protocol }: Caller): void {
  Object.defineProperties(request, { ip: { value: address }, protocol: { value: protocol } });
}

function callerOf({ ip = 'unknown', protocol }: Request, requestId?: string): Caller {
  return {
    address: ip,
    protocol: protocol === 'https' ? 'https' : 'http',
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/** As the filter of problems would, which no upgrade ever reaches. */
async function refuse({ log }: RelayingParts, request: IncomingMessage, socket: Socket, error: unknown): Promise<true> {
  const problem = { ...problemOf(error), requestId: randomUUID() };
  log.debug('relay.socket.refused', { requestId: problem.requestId, code: problem.code });
  const retryAfterMs = error instanceof FedloraError ? error.details.retryAfterMs : undefined;
  await answerRaw(request, socket, (response) => {
    if (typeof retryAfterMs === 'number') response.setHeader('retry-after', Math.ceil(retryAfterMs / 1000));
    response.writeHead(problem.status, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify(problem));
    return Promise.resolve();
  });
  return true;
}

/** Answers on a socket that is no longer the server's, and ends it. */
async function answerRaw(
  request: IncomingMessage,
  socket: Socket,
  answer: (response: ServerResponse) => Promise<void>,
): Promise<void> {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.on('error', () => socket.destroy());
  try {
    await answer(response);
  } finally {
    socket.destroySoon();
  }
}
