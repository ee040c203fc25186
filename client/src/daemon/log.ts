/**
 * The daemon's log: dotted event names in the past tense, facts in fields. JSON lines, or one readable line each on a terminal.
 *
 * Never logged, at any level: rows, tokens, counts of rows or tokens, updates, losses, norms, keys, shares, names of data files.
 */

import { pino, type Logger } from 'pino';

export type { Logger } from 'pino';

export async function createLog(level: string, bindings: Readonly<Record<string, string>>): Promise<Logger> {
  const options = { level, base: bindings, timestamp: pino.stdTimeFunctions.isoTime, messageKey: 'event' };
  if (!process.stdout.isTTY) return pino(options);
  const { default: pretty } = await import('pino-pretty');
  return pino(
    options,
    pretty({ messageKey: 'event', ignore: 'pid,hostname,organisation', translateTime: 'SYS:HH:MM:ss', sync: true }),
  );
}
