import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import { credentialsOf, isSessionToken } from '../access/authenticator.js';
import { Driving } from '../rounds/driving.js';
import { routeOf } from './route-of.js';
import { isDriversOnly } from '../api/routes.js';

/** A coordinator that stands by answers what can be read, and refuses the rest for the one that drives. */
@Injectable()
export class DriverGuard implements CanActivate {
  constructor(@Inject(Driving) private readonly driving: Driving) {}

  canActivate(context: ExecutionContext): boolean {
    if (context.getType() !== 'http') return true;
    const { method, headers } = context.switchToHttp().getRequest<Request>();
    const { bearer } = credentialsOf(headers);
    // A session is in the memory of whoever opened it: elsewhere it would be refused as none at all.
    if (isDriversOnly(method, routeOf(context)) || (bearer !== undefined && isSessionToken(bearer)))
      this.driving.expectDriving();
    return true;
  }
}
