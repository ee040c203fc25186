import { Controller, Get, Header, Inject, Query } from '@nestjs/common';
import { OrganisationsQuery, type OrganisationView, type Overview, type Page } from '@fedlora/shared';
import type { Operator } from '../access/principal.js';
import { pageByName } from '../api/page.js';
import { Asking } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { Metrics } from './metrics.js';
import { EVERYTHING, Views } from './views.js';

@Controller()
export class ObserveController {
  constructor(
    @Inject(Views) private readonly views: Views,
    @Inject(Metrics) private readonly metrics: Metrics,
  ) {}

  @Get('api/v1/overview')
  overview(@Asking() operator: Operator): Promise<Overview> {
    return this.views.overview(operator);
  }

  @Get('api/v1/organisations')
  async organisations(
    @Query(new ValidatedPipe(OrganisationsQuery)) query: OrganisationsQuery,
    @Asking() operator: Operator,
  ): Promise<Page<OrganisationView>> {
    const all = await this.views.organisations(operator);
    const wanted = all.filter(({ status }) => query.status == null || status === query.status);
    return pageByName(query, wanted);
  }

  /** The process answers. */
  @Get('healthz')
  healthy(): { status: 'ok' } {
    return { status: 'ok' };
  }

  /** The process can do its work: the database answers. */
  @Get('readyz')
  async ready(): Promise<{ status: 'ok' }> {
    await this.views.runs(EVERYTHING);
    return { status: 'ok' };
  }

  @Get('metrics')
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  prometheus(): Promise<string> {
    return this.metrics.text();
  }
}
