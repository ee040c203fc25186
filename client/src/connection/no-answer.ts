/** Why an address did not answer, as an error that says what to do. */

import { FedloraError } from '@fedlora/shared';

/** What Node.js says of a certificate that it does not trust, that is of another name, or out of its time. */
const UNTRUSTED =
  /^(?:CERT_|SELF_SIGNED_|DEPTH_ZERO_|UNABLE_TO_(?:VERIFY|GET)_|ERR_TLS_CERT_|INVALID_CA|INVALID_PURPOSE)/;

/** `connection/untrusted-certificate`, or `connection/unreachable` with what happened. */
export function noAnswer(url: string, cause: unknown, what = `${url} does not answer`): FedloraError {
  const reason = reasonOf(cause);
  return UNTRUSTED.test(reason)
    ? new FedloraError('connection/untrusted-certificate', `The certificate of ${url} is not trusted (${reason}).`, {
        cause,
      })
    : new FedloraError('connection/unreachable', `${what} (${reason}).`, { cause });
}

/** A code in a word, where one of the causes has one. */
export function reasonOf(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = innerOf(at)) {
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === 'string') return code;
    if (at.name === 'TimeoutError') return 'timed out';
  }
  return error instanceof Error ? error.message : 'unknown reason';
}

/** The sockets' library has what happened in the description of its own error. */
function innerOf(error: Error): unknown {
  return error.cause ?? (error as { readonly description?: { readonly error?: unknown } }).description?.error;
}
