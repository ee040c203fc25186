import { Body, Controller, Get, HttpCode, Inject, Param, Post, Put } from '@nestjs/common';
import {
  OutcomeMetricsRequest,
  OutcomesRequest,
  type OutcomeComparisonView,
  type OutcomeMetricsView,
  type OutcomesView,
} from '@fedlora/shared';
import { expectRun, type Operator } from '../access/principal.js';
import type { Origin } from '../audit/origin.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { ReleaseViews } from '../release/release-views.js';
import { OutcomesService } from './outcomes.service.js';

@Controller('api/v1')
export class OutcomesController {
  constructor(
    @Inject(ReleaseViews) private readonly releases: ReleaseViews,
    @Inject(OutcomesService) private readonly outcomes: OutcomesService,
  ) {}

  @Get('repositories/:owner/:name/outcome-metrics')
  async metrics(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Asking() operator: Operator,
  ): Promise<OutcomeMetricsView> {
    return { metrics: await this.outcomes.metrics(await this.seenRepository(operator, owner, name)) };
  }

  @Put('repositories/:owner/:name/outcome-metrics')
  async declare(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Body(new ValidatedPipe(OutcomeMetricsRequest)) { metrics }: OutcomeMetricsRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<OutcomeMetricsView> {
    return { metrics: await this.outcomes.declare(await this.seenRepository(operator, owner, name), metrics, by) };
  }

  @Post('versions/:id/outcomes')
  @HttpCode(204)
  async report(
    @Param('id') id: string,
    @Body(new ValidatedPipe(OutcomesRequest)) { outcomes }: OutcomesRequest,
    @Asking() operator: Operator,
  ): Promise<void> {
    return this.outcomes.report(await this.seenVersion(operator, id), outcomes);
  }

  @Get('versions/:id/outcomes')
  async of(@Param('id') id: string, @Asking() operator: Operator): Promise<OutcomesView> {
    return this.outcomes.of(await this.seenVersion(operator, id));
  }

  @Get('versions/:id/outcomes/:other')
  async comparison(
    @Param('id') id: string,
    @Param('other') other: string,
    @Asking() operator: Operator,
  ): Promise<OutcomeComparisonView> {
    return this.outcomes.comparison(await this.seenVersion(operator, id), await this.seenVersion(operator, other));
  }

  /** Its name. @throws FedloraError repository/unknown | access/wrong-scope */
  private async seenRepository(operator: Operator, owner: string, name: string): Promise<string> {
    const repository = await this.releases.repository(`${owner}/${name}`);
    for (const run of repository.runs) expectRun(operator, run);
    return repository.name;
  }

  /** @throws FedloraError version/unknown | access/wrong-scope */
  private async seenVersion(operator: Operator, id: string): Promise<string> {
    expectRun(operator, (await this.releases.version(id)).runId);
    return id;
  }
}
