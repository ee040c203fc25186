import { Controller, Get, Header, Inject } from '@nestjs/common';
import type { Overview } from '@fedlora/shared';
import type { Operator } from '../access/principal.js';
import { Asking } from '../nest/asking.js';
import { Metrics } from './metrics.js';
import { Readiness } from './readiness.js';
import { Views } from './views.js';

@Controller()
export class ObserveController {
  constructor(
    @Inject(Views) private readonly views: Views,
    @Inject(Metrics) private readonly metrics: Metrics,
    @Inject(Readiness) private readonly readiness: Readiness,
  ) {}

  @Get('api/v1/overview')
  overview(@Asking() operator: Operator): Promise<Overview> {
    return this.views.overview(operator);
  }

  /** The process answers. */
  @Get('healthz')
  healthy(): { status: 'ok' } {
    return { status: 'ok' };
  }

  /** The process can do its work. */
  @Get('readyz')
  async ready(): Promise<{ status: 'ok' }> {
    await this.readiness.expectReady();
    return { status: 'ok' };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  prometheus(): Promise<string> {
    return this.metrics.text();
  }
}
