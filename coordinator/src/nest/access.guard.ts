import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { CSRF_HEADER, FedloraError } from '@fedlora/shared';
import { Authenticator, credentialsOf } from '../access/authenticator.js';
import { actorOf, isOperator, mayDo, seesRun, type Principal } from '../access/principal.js';
import { RateLimits } from '../access/rate-limits.js';
import type { RouteAccess } from '../api/routes.js';
import type { Origin } from '../audit/origin.js';
import { routeOf } from './route-of.js';

/** A request as handlers get it. */
export interface KnownRequest extends Request {
  /** Given by the request log. */
  id: string;
  /** Who asks; `undefined` on open routes. */
  principal: Principal | undefined;
  origin: Origin;
}

/** A request of a client. */
export interface ClientRequest extends KnownRequest {
  organisation: string;
}

/** The one guard: lets in whom the table of routes lets in. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    @Inject(Authenticator) private readonly authenticator: Authenticator,
    @Inject(RateLimits) private readonly rates: RateLimits,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType() !== 'http') return true; // Gateways ask for themselves when a socket connects.
    const request = context.switchToHttp().getRequest<KnownRequest>();
    const { access } = routeOf(context);
    const address = request.ip ?? 'unknown';
    const principal = access.kind === 'open' ? undefined : await this.identify(request, address);
    if (principal === undefined) this.rates.expectAddress(address, access.kind === 'open' && access.isCostly === true);
    else this.rates.expectIdentity(principal);
    request.principal = principal;
    request.origin = { actor: actorOf(principal), address, requestId: request.id };
    expectAllowed(access, principal, request);
    if (principal?.kind === 'client') (request as ClientRequest).organisation = principal.name;
    return true;
  }

  /** @throws FedloraError session/required | access/cross-site | request/too-many */
  private async identify(request: KnownRequest, address: string): Promise<Principal> {
    const principal = await this.authenticator.identify(credentialsOf(request.headers));
    if (principal === undefined) {
      this.rates.expectAddress(address, false);
      throw new FedloraError('session/required');
    }
    const isChange = request.method !== 'GET' && request.method !== 'HEAD';
    const signIn = isOperator(principal) ? principal.signIn : undefined;
    if (isChange && signIn !== undefined && request.headers[CSRF_HEADER] !== signIn.csrfToken)
      throw new FedloraError('access/cross-site');
    return principal;
  }
}

/** @throws FedloraError session/required | session/not-allowed | access/wrong-scope */
function expectAllowed(access: RouteAccess, principal: Principal | undefined, request: Request): void {
  switch (access.kind) {
    case 'open':
      return;
    case 'client':
      return expect(principal?.kind === 'client');
    case 'operator':
      return expect(isOperator(principal));
    case 'user':
      return expect(isOperator(principal) && principal.signIn !== undefined);
    case 'permitted': {
      if (principal?.kind === 'client') return expect(access.client);
      const isScoped = isOperator(principal) && principal.runs !== null;
      expect(isOperator(principal) && access.permissions.every((permission) => principal.permissions.has(permission)));
      if (!isScoped) return;
      const { scope } = access;
      const isWithin =
        scope !== 'federation' &&
        access.permissions.every((permission) => mayDo(principal, permission)) &&
        (scope === 'filtered' || seesRun(principal, String(request.params[scope.run])));
      if (!isWithin) throw new FedloraError('access/wrong-scope');
      return;
    }
    default:
      return access satisfies never;
  }
}

function expect(isAllowed: boolean): void {
  if (!isAllowed) throw new FedloraError('session/not-allowed');
}
