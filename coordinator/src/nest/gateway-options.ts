import type { ServerOptions } from 'socket.io';
import { Decoder, Encoder } from 'socket.io-parser';
import { limits } from '@fedlora/shared';

/** How long a socket may stay without having said who it is, in milliseconds. */
const SAY_WHO_MS = 10_000;

/** No message to us has more than one; each is held in memory until all of its message are there. */
class OneAttachment extends Decoder {
  constructor() {
    super({ maxAttachments: 1 });
  }
}

/** One server carries every namespace, and takes the options of whichever gateway Nest makes first: so all have the same. */
export const gatewayOptions = {
  // Polling would bring a second way to send large bodies, and clients and pages need WebSockets anyway.
  transports: ['websocket' as const],
  maxHttpBufferSize: limits.controlMessageBytes + 64 * 1024,
  connectTimeout: SAY_WHO_MS,
  parser: { Encoder, Decoder: OneAttachment },
  serveClient: false,
} satisfies Partial<ServerOptions>;
