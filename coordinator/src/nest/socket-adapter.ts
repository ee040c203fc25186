/**
 * How messages of sockets reach their handlers. Nest's own adapter holds four chained subscriptions for each kind of message of each
 * connection, some 13 KiB for a client's; these are plain listeners.
 */

import { IoAdapter } from '@nestjs/platform-socket.io';
import { lastValueFrom, type Observable } from 'rxjs';

/** What is needed of a connection, whichever copy of socket.io made it. */
interface Listening {
  on(event: string, listener: (...sent: unknown[]) => void): unknown;
}

interface Handler {
  readonly message: string;
  readonly callback: (data: unknown, ack: unknown) => unknown;
}

interface Payload {
  readonly data: unknown;
  readonly ack?: (answer: unknown) => void;
}

/** What Nest makes of what a handler returned. */
type Transform = (returned: unknown) => Observable<unknown>;

export class SocketAdapter extends IoAdapter {
  override bindMessageHandlers(socket: Listening, handlers: readonly Handler[], transform: Transform): void {
    for (const { message, callback } of handlers) {
      socket.on(message, (...sent) => {
        const { data, ack } = this.mapPayload(sent.length > 1 ? sent : sent[0]) as Payload;
        // A handler answers whatever comes (reply.ts): what fails here is a bug of ours, and is told as one.
        Promise.resolve()
          .then(() => lastValueFrom(transform(callback(data, ack)), { defaultValue: undefined }))
          .then((answer) => ack?.(answer))
          .catch((error: unknown) => this.logger.error(error));
      });
    }
  }
}
