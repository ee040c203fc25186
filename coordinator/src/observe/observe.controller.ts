import { Controller, Get, Header, Inject, UseGuards } from '@nestjs/common';
import type { OrganisationView, Overview } from '@fedlora/shared';
import { OperatorGuard } from '../nest/access.guard.js';
import { Metrics } from './metrics.js';
import { Views } from './views.js';

@Controller()
export class ObserveController {
  constructor(
    @Inject(Views) private readonly views: Views,
    @Inject(Metrics) private readonly metrics: Metrics,
  ) {}

  @Get('api/v1/overview')
  @UseGuards(OperatorGuard)
  overview(): Promise<Overview> {
    return this.views.overview();
  }

  @Get('api/v1/organisations')
  @UseGuards(OperatorGuard)
  organisations(): Promise<readonly OrganisationView[]> {
    return this.views.organisations();
  }

  /** The process answers. */
  @Get('healthz')
  healthy(): { status: 'ok' } {
    return { status: 'ok' };
  }

  /** The process can do its work: the database answers. */
  @Get('readyz')
  async ready(): Promise<{ status: 'ok' }> {
    await this.views.runs();
    return { status: 'ok' };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  prometheus(): Promise<string> {
    return this.metrics.text();
  }
}
