import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { Access, bearerToken } from '../session/access.js';

/** A request with the organisation that `ClientGuard` found behind its token. */
export interface ClientRequest extends Request {
  organisation: string;
}

/** Lets the operator in. */
@Injectable()
export class OperatorGuard implements CanActivate {
  constructor(@Inject(Access) private readonly access: Access) {}

  canActivate(context: ExecutionContext): boolean {
    this.access.expectOperator(tokenOf(context));
    return true;
  }
}

/** Lets a client with a session in. */
@Injectable()
export class ClientGuard implements CanActivate {
  constructor(@Inject(Access) private readonly access: Access) {}

  canActivate(context: ExecutionContext): boolean {
    context.switchToHttp().getRequest<ClientRequest>().organisation = this.access.expectClient(tokenOf(context));
    return true;
  }
}

/** Lets the operator and clients in. */
@Injectable()
export class AnyoneGuard implements CanActivate {
  constructor(@Inject(Access) private readonly access: Access) {}

  canActivate(context: ExecutionContext): boolean {
    this.access.expectAnyone(tokenOf(context));
    return true;
  }
}

function tokenOf(context: ExecutionContext): string | undefined {
  return bearerToken(context.switchToHttp().getRequest<Request>().headers.authorization);
}
