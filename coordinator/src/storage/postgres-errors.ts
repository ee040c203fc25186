/** What errors of PostgreSQL and of the connection to it mean. */

import { FedloraError } from '@fedlora/shared';

/** The connection is gone, or there never was one; by what Node calls it. */
const lostCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  // By what the server calls it: shut down by hand or by a crash, starting up, full, or tired of a transaction that did nothing.
  '57P01',
  '57P02',
  '57P03',
  '53300',
  '25P03',
]);
/** pg has no codes for these. */
const lostMessages =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying|timeout expired)/;
/** Whom the server lets in, and to what; and certificates, by what Node calls what is wrong with them. */
const refusedCodes = /^(28...|3D000|42501|CERT_.*|ERR_TLS_.*|DEPTH_ZERO_.*|SELF_SIGNED_.*|UNABLE_TO_.*)$/;
const refusedMessages = /^The server does not support SSL connections/;

/** Whether nothing is known of what the server did last. */
export function isLost(error: unknown): boolean {
  const { code, message } = reasonOf(error);
  return lostCodes.has(code) || code.startsWith('08') || lostMessages.test(message);
}

/** As `isLost`, of an error that `asOurs` made. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof FedloraError && error.code === 'database/unreachable';
}

/** Whether no second try would be better. */
export function isRefused(error: unknown): boolean {
  const { code, message } = reasonOf(error);
  return refusedCodes.test(code) || refusedMessages.test(message);
}

/**
 * An error of the database as it may be logged: without the rows that PostgreSQL quotes in its details.
 *
 * @param where `host:port/database`
 */
export function asOurs(error: unknown, where: string): Error {
  const { code, message } = reasonOf(error);
  const reason = message === '' ? code : message;
  if (isLost(error))
    return new FedloraError('database/unreachable', `PostgreSQL does not answer (${reason}).`, { where });
  if (isRefused(error))
    return new FedloraError('database/refused', `PostgreSQL lets us in no further: ${reason}.`, { where });
  switch (code) {
    case '57014':
    case '55P03':
      return new FedloraError('database/unreachable', `PostgreSQL takes too long (${reason}).`, { where });
    case '22021':
      return new FedloraError('request/invalid', 'A text has the character U+0000, which PostgreSQL cannot store.');
    default:
      return Object.assign(new Error(`PostgreSQL: ${reason}`), { code });
  }
}

function reasonOf(error: unknown): { readonly code: string; readonly message: string } {
  // A host of several addresses fails once for each of them.
  const first: unknown = error instanceof AggregateError ? (error.errors.at(0) ?? error) : error;
  const { code, message } = (first ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  return { code: typeof code === 'string' ? code : '', message: typeof message === 'string' ? message : '' };
}
