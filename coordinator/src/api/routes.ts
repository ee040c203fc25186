/**
 * Every route of the HTTP API: who may use it. One guard reads this table, and the coordinator does not start with a route that is
 * not in it, or with a row that has no route.
 */

import type { Permission } from '@fedlora/shared';

export type RouteAccess =
  /** Anybody, signed in or not. `isCostly`: it tries secrets or hashes passwords, so each address gets few tries. */
  | { readonly kind: 'open'; readonly isCostly?: true }
  /** A client with a session. */
  | { readonly kind: 'client' }
  /** Whoever is signed in as a user, or holds an API token; `user`: signed in only. */
  | { readonly kind: 'operator' | 'user' }
  /** An operator with all of these permissions, and a client too where `client` says so. */
  | {
      readonly kind: 'permitted';
      readonly permissions: readonly Permission[];
      readonly scope: Scope;
      readonly client: boolean;
    };

/**
 * What somebody limited to certain runs gets: `{ run }` the runs of the scope only, by the parameter that names the run; `filtered`
 * an answer without the others, which the handler sees to; `federation` nothing.
 */
export type Scope = { readonly run: string } | 'filtered' | 'federation';

export interface Route {
  readonly access: RouteAccess;
}

const open: RouteAccess = { kind: 'open' };
const openAndCostly: RouteAccess = { kind: 'open', isCostly: true };
const client: RouteAccess = { kind: 'client' };
const operator: RouteAccess = { kind: 'operator' };
const user: RouteAccess = { kind: 'user' };
const may = (permission: Permission | readonly Permission[], scope: Scope, who?: 'or-client'): RouteAccess => ({
  kind: 'permitted',
  permissions: typeof permission === 'string' ? [permission] : permission,
  scope,
  client: who === 'or-client',
});

export const routeTable: Readonly<Record<string, Route>> = {
  // Clients of organisations.
  'POST /api/v1/enrol': { access: open },
  'POST /api/v1/session/challenge': { access: open },
  'POST /api/v1/session': { access: open },
  'DELETE /api/v1/session': { access: client },
  'HEAD /api/v1/rounds/:id/contribution': { access: client },
  'PATCH /api/v1/rounds/:id/contribution': { access: client },

  // Organisations.
  'GET /api/v1/overview': { access: may(['organisations.read', 'runs.read'], 'filtered') },
  'GET /api/v1/organisations': { access: may('organisations.read', 'filtered') },
  'POST /api/v1/invitations': { access: may('organisations.manage', 'federation') },
  'POST /api/v1/organisations/:name/certificate': { access: may('organisations.manage', 'federation') },
  'DELETE /api/v1/organisations/:name/sessions': { access: may('organisations.manage', 'federation') },
  'PUT /api/v1/revocations': { access: may('organisations.manage', 'federation') },

  // Runs and what they make.
  'POST /api/v1/runs': { access: may('runs.manage', 'federation') },
  'GET /api/v1/runs': { access: may('runs.read', 'filtered') },
  'GET /api/v1/runs/:id': { access: may('runs.read', { run: 'id' }) },
  'GET /api/v1/runs/:id/rounds': { access: may('runs.read', { run: 'id' }) },
  'POST /api/v1/runs/:id/stop': { access: may('runs.manage', { run: 'id' }) },
  'GET /api/v1/versions/:id': { access: may('versions.read', 'filtered', 'or-client') },
  'GET /api/v1/versions/:id/files/:file': { access: may('versions.read', 'filtered', 'or-client') },

  // Users, what they are known by, and what was done.
  'POST /api/v1/setup': { access: openAndCostly },
  'POST /api/v1/sign-in': { access: openAndCostly },
  'DELETE /api/v1/sign-in': { access: user },
  'GET /api/v1/me': { access: operator },
  'PUT /api/v1/me/password': { access: user },
  'POST /api/v1/me/totp': { access: user },
  'POST /api/v1/me/totp/confirmation': { access: user },
  'POST /api/v1/me/totp/removal': { access: user },
  'GET /api/v1/me/sign-ins': { access: user },
  'DELETE /api/v1/me/sign-ins/:id': { access: user },
  'GET /api/v1/users': { access: may('users.manage', 'federation') },
  'POST /api/v1/users': { access: may('users.manage', 'federation') },
  'GET /api/v1/users/:id': { access: may('users.manage', 'federation') },
  'PATCH /api/v1/users/:id': { access: may('users.manage', 'federation') },
  'POST /api/v1/users/:id/link': { access: may('users.manage', 'federation') },
  'DELETE /api/v1/users/:id/sign-ins': { access: may('users.manage', 'federation') },
  'GET /api/v1/tokens': { access: may('tokens.manage', 'federation') },
  'POST /api/v1/tokens': { access: may('tokens.manage', 'federation') },
  'DELETE /api/v1/tokens/:id': { access: may('tokens.manage', 'federation') },
  'GET /api/v1/audit': { access: may('audit.read', 'federation') },
  'GET /api/v1/audit/export': { access: may('audit.read', 'federation') },

  // For supervisors and monitoring.
  'GET /healthz': { access: open },
  'GET /readyz': { access: open },
  'GET /metrics': { access: open },
};
