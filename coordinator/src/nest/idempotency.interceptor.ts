import { Inject, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import type { Response } from 'express';
import { firstValueFrom, from, type Observable } from 'rxjs';
import { Idempotency } from '../api/idempotency.js';
import type { KnownRequest } from './access.guard.js';
import { routeOf } from './route-of.js';

/** Gives the first answer again to a write that is sent again with the same `Idempotency-Key`. */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(@Inject(Idempotency) private readonly idempotency: Idempotency) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const request = context.switchToHttp().getRequest<KnownRequest>();
    const key = request.headers['idempotency-key'];
    if (typeof key !== 'string' || routeOf(context).isIdempotent !== true) return next.handle();
    const { kind, id, name } = request.origin.actor;
    const content = `${request.originalUrl}\n${JSON.stringify(request.body)}`;
    return from(
      this.idempotency
        .once({ scope: `${kind} ${id ?? name} ${request.method} ${request.path}`, key, content }, () =>
          firstValueFrom(next.handle() as Observable<unknown>),
        )
        .then(({ answer, isReplay }) => {
          if (isReplay) context.switchToHttp().getResponse<Response>().setHeader('idempotency-replayed', 'true');
          return answer;
        }),
    );
  }
}
