/** The `Log` of business code over pino, and Nest's own messages into the same stream. */

import type { LoggerService } from '@nestjs/common';
import { pino, type DestinationStream, type Logger } from 'pino';
import { pinoHttp, type HttpLogger } from 'pino-http';
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import pretty from 'pino-pretty';
import type { LogLevel } from '../config/coordinator-config.js';
import type { Log, LogFields } from '../observe/log.js';

/** Never printed, wherever they turn up. */
const REDACTED = ['authorization', 'token', 'password', 'seed', 'secret', 'key', 'signature', 'nonce'].flatMap(
  (name) => [name, `*.${name}`, `*.*.${name}`],
);

/** What every line tells that is written while a request is handled. */
const context = new AsyncLocalStorage<LogFields>();

/** JSON lines on standard output; readable lines on a terminal. */
export function openLog(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    mixin: () => context.getStore() ?? {},
    level,
    redact: { paths: REDACTED, censor: '[redacted]' },
    base: {},
    messageKey: 'event',
  };
  if (destination !== undefined) return pino(options, destination);
  return process.stdout.isTTY
    ? pino(options, pretty({ sync: true, messageKey: 'event', ignore: 'pid,hostname' }))
    : pino(options);
}

export function logOver(logger: Logger): Log {
  return {
    error: (event, fields = {}) => logger.error(fields, event),
    warn: (event, fields = {}) => logger.warn(fields, event),
    info: (event, fields = {}) => logger.info(fields, event),
    debug: (event, fields = {}) => logger.debug(fields, event),
    child: (fields: LogFields) => logOver(logger.child({ ...fields })),
  };
}

/** Nest's warnings and errors; its news about routes are not ours. */
export function nestLoggerOver(log: Log): LoggerService {
  return {
    log: () => undefined,
    debug: () => undefined,
    verbose: () => undefined,
    warn: (message: unknown) => log.warn('nest.warned', { message: String(message) }),
    error: (message: unknown) => log.error('nest.failed', { message: String(message) }),
    fatal: (message: unknown) => log.error('nest.failed', { message: String(message) }),
  };
}

/** One line for each request: debug if it went well. Its id is the caller's `x-request-id`, or a fresh one. */
export function requestLog(logger: Logger): HttpLogger {
  return pinoHttp({
    logger,
    genReqId: (request: IncomingMessage, response: ServerResponse) => {
      const given = request.headers['x-request-id'];
      const id = typeof given === 'string' && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID();
      response.setHeader('x-request-id', id);
      return id;
    },
    // 503 is told by whoever refused, at the level of its reason.
    customLogLevel: (_request, { statusCode }, error) =>
      error !== undefined || (statusCode >= 500 && statusCode !== 503) ? 'error' : 'debug',
    customSuccessMessage: () => 'http.request.answered',
    customErrorMessage: () => 'http.request.failed',
    serializers: {
      req: (request: { id: unknown; method: unknown; url: unknown }) => ({
        id: request.id,
        method: request.method,
        // The identity provider sends browsers back with a code.
        url: String(request.url).replace(/^(\/signed-in)\?.*$/s, '$1?…'),
      }),
      res: (response: { statusCode: unknown }) => ({ statusCode: response.statusCode }),
    },
  });
}

/** Binds the id of a request to every line that is written while it is handled; after `requestLog`, which gives it. */
export function bindRequestId(request: IncomingMessage, _response: ServerResponse, next: () => void): void {
  context.run({ requestId: request.id }, next);
}
