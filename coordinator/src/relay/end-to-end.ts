/** Headers that are for the other end, and not for whoever passes a message on (RFC 9110 §7.6.1). */

import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { PEER_HEADER } from './peers.js';

const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  // Answered already: the client sends its body by the time it is passed on.
  'expect',
];

/** Said of the client by proxies before us, which we have judged; the peer header says what came of it. */
const ABOUT_CLIENTS = [
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
  PEER_HEADER,
];

/** The headers of a message that goes on, with each value on a line of its own, as it came. */
export function endToEnd({
  headers: { connection = '' },
  headersDistinct,
}: Pick<IncomingMessage, 'headers' | 'headersDistinct'>): OutgoingHttpHeaders {
  const dropped = new Set([...HOP_BY_HOP, ...connection.split(',').map((name) => name.trim().toLowerCase())]);
  const kept = Object.entries(headersDistinct).filter(([name]) => !dropped.has(name));
  return Object.fromEntries(kept.map(([name, values = []]) => [name, values.length === 1 ? values[0] : values]));
}

/** Without what was said of the client before. */
export function withoutClaims(headers: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ABOUT_CLIENTS.includes(name)));
}
