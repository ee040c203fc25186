/** Who asks, once it is known, and what that allows. */

import { FedloraError, runPermissions, type AuditActor, type Permission } from '@fedlora/shared';

/** A user by a sign-in, or an API token. */
export interface Operator {
  readonly kind: 'user' | 'token';
  readonly id: string;
  readonly name: string;
  /** The user, or the user who made the token. */
  readonly userId: string;
  readonly permissions: ReadonlySet<Permission>;
  /** The runs that it is limited to; `null`: no limit. */
  readonly runs: ReadonlySet<string> | null;
  /** Of a user's sign-in: its id, and what changes must bring along. */
  readonly signIn?: { readonly id: string; readonly csrfToken: string };
}

/** An organisation's client by its session. */
export interface ClientPrincipal {
  readonly kind: 'client';
  readonly name: string;
}

export type Principal = Operator | ClientPrincipal;

export function isOperator(principal: Principal | undefined): principal is Operator {
  return principal !== undefined && principal.kind !== 'client';
}

export function mayDo({ permissions, runs }: Operator, permission: Permission): boolean {
  return permissions.has(permission) && (runs === null || runPermissions.includes(permission));
}

export function seesRun({ runs }: Pick<Operator, 'runs'>, runId: string): boolean {
  return runs === null || runs.has(runId);
}

/** @throws FedloraError access/wrong-scope */
export function expectRun(principal: Principal, runId: string): void {
  if (isOperator(principal) && !seesRun(principal, runId)) throw new FedloraError('access/wrong-scope');
}

export function actorOf(principal: Principal | undefined): AuditActor {
  if (principal === undefined) return { kind: 'anonymous' };
  if (principal.kind === 'client') return { kind: 'client', name: principal.name };
  return { kind: principal.kind, id: principal.id, name: principal.name };
}
