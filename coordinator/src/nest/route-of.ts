import type { ExecutionContext } from '@nestjs/common';
import { routeTable, type Route } from '../api/routes.js';
import { routeKeyOf } from './route-key.js';

/** The row of the table of routes that a request goes to. */
export function routeOf(context: ExecutionContext): Route {
  // Safe: the coordinator does not start with a route that is not in the table.
  return routeTable[routeKeyOf(context.getClass(), context.getHandler()) ?? ''];
}
