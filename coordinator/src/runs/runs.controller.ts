import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import {
  PageQuery,
  PauseRequest,
  RunDescription,
  RunPlanRequest,
  RunsQuery,
  type Page,
  type RoundView,
  type RunPlanView,
  type RunTermsView,
  type RunView,
} from '@fedlora/shared';
import type { Operator } from '../access/principal.js';
import type { Origin } from '../audit/origin.js';
import { pageByAge } from '../api/page.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { Views } from '../observe/views.js';
import { runTermsView } from './run-view.js';
import { RunService } from './run.service.js';

@Controller('api/v1/runs')
export class RunsController {
  constructor(
    @Inject(RunService) private readonly runs: RunService,
    @Inject(Views) private readonly views: Views,
  ) {}

  @Post()
  @HttpCode(201)
  async start(
    @Body(new ValidatedPipe(RunDescription)) description: RunDescription,
    @By() by: Origin,
  ): Promise<RunView> {
    return this.views.ofRun(await this.runs.start(description, by));
  }

  @Post('plan')
  @HttpCode(200)
  plan(@Body(new ValidatedPipe(RunPlanRequest)) request: RunPlanRequest): Promise<RunPlanView> {
    return this.runs.plan(request);
  }

  @Get()
  async list(
    @Query(new ValidatedPipe(RunsQuery)) query: RunsQuery,
    @Asking() operator: Operator,
  ): Promise<Page<RunView>> {
    const all = await this.views.runs(operator);
    const wanted = all.filter(({ status }) => query.status == null || status === query.status);
    return pageByAge(query, wanted);
  }

  @Get(':id')
  async run(@Param('id') id: string): Promise<RunView> {
    return this.views.ofRun(await this.runs.find(id));
  }

  @Get(':id/terms')
  async terms(@Param('id') id: string): Promise<RunTermsView> {
    return runTermsView(await this.runs.find(id));
  }

  @Get(':id/rounds')
  rounds(@Param('id') id: string, @Query(new ValidatedPipe(PageQuery)) query: PageQuery): Promise<Page<RoundView>> {
    return this.views.roundsOf(id, query);
  }

  @Post(':id/pause')
  @HttpCode(200)
  async pause(
    @Param('id') id: string,
    @Body(new ValidatedPipe(PauseRequest)) { abortRound }: PauseRequest,
    @By() by: Origin,
  ): Promise<RunView> {
    return this.views.ofRun(await this.runs.pause(id, abortRound === true, by));
  }

  @Post(':id/resume')
  @HttpCode(200)
  async resume(@Param('id') id: string, @By() by: Origin): Promise<RunView> {
    return this.views.ofRun(await this.runs.goOn(id, by));
  }

  @Post(':id/stop')
  @HttpCode(200)
  async stop(@Param('id') id: string, @By() by: Origin): Promise<RunView> {
    return this.views.ofRun(await this.runs.stop(id, by));
  }
}
