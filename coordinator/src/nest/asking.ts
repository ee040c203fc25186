/** What the guard found, as arguments of handlers. */

import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Operator } from '../access/principal.js';
import type { KnownRequest } from './access.guard.js';

const requestOf = (context: ExecutionContext): KnownRequest => context.switchToHttp().getRequest<KnownRequest>();

/** Who asks and from where, for the audit log: an `Origin`. */
export const By = createParamDecorator((_data: unknown, context: ExecutionContext) => requestOf(context).origin);

/** The user or token that asks: an `Operator`, on routes that only those may use. */
export const Asking = createParamDecorator(
  // Safe: such routes are not `open` or `client` in the table.
  (_data: unknown, context: ExecutionContext) => requestOf(context).principal as Operator,
);

/** Whoever asks: a `Principal`, on routes that are not open. */
export const Anyone = createParamDecorator((_data: unknown, context: ExecutionContext) => requestOf(context).principal);
