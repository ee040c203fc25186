/** The one error class of our programs, and the form in which errors travel and end a command. */

import { ProtocolError, type ErrorEntry, type SafeDetails } from '@fedlora/protocol';
import { DEFAULT_EXIT_CODE, errorEntry, isErrorCode, type ErrorCode } from './catalogue.js';
import { runbookLink } from './runbook.js';

export interface FedloraErrorOptions {
  /** Plain values that may be logged and sent: never secrets, rows or norms. */
  readonly details?: SafeDetails;
  /** The file, folder or setting at fault. Shown to the owner in front of the message; never sent (STYLE 4.9: never our file paths). */
  readonly where?: string;
  readonly cause?: unknown;
}

/** The only error that `shared`, `client` and `coordinator` throw on purpose. */
export class FedloraError extends Error {
  readonly code: ErrorCode;
  readonly details: SafeDetails;
  /** What went wrong without `where`; this is what travels. */
  readonly summary: string;
  readonly where: string | undefined;

  constructor(code: ErrorCode, summary?: string, options: FedloraErrorOptions = {}) {
    const text = summary ?? errorEntry(code).meaning;
    super(
      options.where === undefined ? text : `${options.where}: ${text}`,
      'cause' in options ? { cause: options.cause } : {},
    );
    this.name = 'FedloraError';
    this.code = code;
    this.summary = text;
    this.where = options.where;
    this.details = options.details ?? {};
  }

  /** Another error as one of ours: an error with a code keeps it, anything else is `internal/unexpected` with it as cause. */
  static from(error: unknown): FedloraError {
    if (error instanceof FedloraError) return error;
    if (error instanceof ProtocolError) {
      return new FedloraError(error.code, error.message, { details: error.details, cause: error });
    }
    return new FedloraError('internal/unexpected', undefined, { cause: error });
  }

  /** The error that another program reported. An unknown code, say of a newer program, becomes `internal/unexpected`. */
  static fromWire(wire: WireError): FedloraError {
    if (isErrorCode(wire.code)) return new FedloraError(wire.code, wire.message);
    return new FedloraError('internal/unexpected', `${wire.message} (${wire.code})`);
  }
}

/** An error as it travels: no stack, no cause, no path. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly retry: ErrorEntry['retry'];
  readonly remedy: string;
}

/** Whether an error carries this code, be it ours or the protocol's. */
export function hasCode(error: unknown, code: ErrorCode): boolean {
  return (error instanceof FedloraError || error instanceof ProtocolError) && error.code === code;
}

/** The form in which an error is sent. What was not thrown on purpose is sent without its message, which might quote anything. */
export function toWireError(error: unknown): WireError {
  const { code, summary } = FedloraError.from(error);
  const { retry, remedy } = errorEntry(code);
  return { code, message: summary, retry, remedy };
}

/** The exit code of a command that ends with this error. */
export function exitCodeOf(error: unknown): number {
  return errorEntry(FedloraError.from(error).code).exitCode ?? DEFAULT_EXIT_CODE;
}

/** What to print for a person: what happened, what to do, the code to search for, and the page that says more. */
export function explainError(error: unknown): string {
  const ours = FedloraError.from(error);
  return `${ours.message}\n${errorEntry(ours.code).remedy}\n[${ours.code}] More: ${runbookLink(ours.code)}`;
}
