/** The acknowledgement of a socket request: whatever happens, a value and never an exception. */

import { errorEntry, FedloraError, toWireError, type Reply } from '@fedlora/shared';
import type { Log } from '../observe/log.js';
import type { Metrics } from '../observe/metrics.js';
import { validated } from './validated.js';

export interface ReplyParts {
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'refused'>;
  readonly admit?: () => void;
}

/** Validates a message, hands it on, and answers how it went. `admit`: throws where nothing is to be read of it. */
export async function replyTo<Message extends object>(
  type: new () => Message,
  body: unknown,
  { log, metrics, admit }: ReplyParts,
  handle: (message: Message) => void | Promise<void>,
): Promise<Reply> {
  try {
    admit?.();
    await handle(validated(type, body));
    return { ok: true };
  } catch (error) {
    const { code } = FedloraError.from(error);
    metrics.refused('socket', code);
    if (errorEntry(code).blame === 'us') log.error('socket.handler.failed', { code, err: error });
    else log.debug('socket.message.refused', { code });
    return { ok: false, error: toWireError(error) };
  }
}
