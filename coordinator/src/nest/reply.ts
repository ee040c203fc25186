/** The acknowledgement of a socket request: whatever happens, a value and never an exception. */

import { errorEntry, FedloraError, toWireError, type Reply } from '@fedlora/shared';
import type { Log } from '../observe/log.js';
import { validated } from './validated.js';

/** Validates a message, hands it on, and answers how it went. */
export async function replyTo<Message extends object>(
  type: new () => Message,
  body: unknown,
  log: Log,
  handle: (message: Message) => void | Promise<void>,
): Promise<Reply> {
  try {
    await handle(validated(type, body));
    return { ok: true };
  } catch (error) {
    const { code } = FedloraError.from(error);
    if (errorEntry(code).blame === 'us') log.error('socket.handler.failed', { code, err: error });
    else log.debug('socket.message.refused', { code });
    return { ok: false, error: toWireError(error) };
  }
}
