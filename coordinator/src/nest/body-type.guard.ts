import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { FedloraError } from '@fedlora/shared';
import { routeOf } from './route-of.js';

/** Refuses a body that is no JSON where JSON is read, nor a form where forms are: left alone it would look as if nothing had been sent. */
@Injectable()
export class BodyTypeGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    if (context.getType() !== 'http') return true;
    const { body, takesForms } = routeOf(context);
    if (body === undefined) return true;
    const types = ['application/json', ...(takesForms === true ? ['application/x-www-form-urlencoded'] : [])];
    // `is` gives null without a body, and false for one of another type.
    if (context.switchToHttp().getRequest<Request>().is(types) === false)
      throw new FedloraError('request/unsupported-type');
    return true;
  }
}
