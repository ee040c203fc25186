/** Which of several coordinators answers a request: the table of routes in short, since a request is passed on before it is read. */

import type { IncomingHttpHeaders } from 'node:http';
import { credentialsOf, isSessionToken } from '../access/authenticator.js';
import { isHubAddress } from '../hub/hub-address.js';

/**
 * - `driver`: the one that drives, and no other: changes, and whatever clients ask, whose sessions it has in memory;
 * - `rather-driver`: any, but only the driver knows who is connected and what happens at this moment;
 * - `any`: what is the same everywhere. Files of versions are the bulk of what is read.
 */
export type Answerer = 'driver' | 'rather-driver' | 'any';

const OF_EACH = /^\/(healthz|readyz|metrics)$/;
const FILES = /^\/(api\/v1\/versions\/[^/]+\/files|(?!api\/)[^/]+\/[^/]+\/(resolve|raw))\//;

export function answererOf(method: string, path: string, headers: IncomingHttpHeaders): Answerer {
  if (OF_EACH.test(path)) return 'any';
  if (method !== 'GET' && method !== 'HEAD') return 'driver';
  // Pages and documentation.
  if (!path.startsWith('/api/') && !isHubAddress(path)) return 'any';
  const { bearer } = credentialsOf(headers);
  if (bearer !== undefined && isSessionToken(bearer)) return 'driver';
  return FILES.test(path) ? 'any' : 'rather-driver';
}
