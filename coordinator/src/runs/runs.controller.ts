import { Body, Controller, Get, HttpCode, Inject, Param, Post, UseGuards } from '@nestjs/common';
import { RunDescription, type RoundView, type RunView } from '@fedlora/shared';
import { OperatorGuard } from '../nest/access.guard.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { Views } from '../observe/views.js';
import { RunService, type PlannedRun } from './run.service.js';

@Controller('api/v1/runs')
@UseGuards(OperatorGuard)
export class RunsController {
  constructor(
    @Inject(RunService) private readonly runs: RunService,
    @Inject(Views) private readonly views: Views,
  ) {}

  /** Starts a run; with `validateOnly`, says what it would become and starts nothing. */
  @Post()
  @HttpCode(201)
  async start(@Body(new ValidatedPipe(RunDescription)) description: RunDescription): Promise<RunView | PlannedRun> {
    if (description.validateOnly === true) return this.runs.plan(description);
    return this.views.ofRun(await this.runs.start(description));
  }

  @Get()
  list(): Promise<readonly RunView[]> {
    return this.views.runs();
  }

  @Get(':id')
  async run(@Param('id') id: string): Promise<RunView> {
    return this.views.ofRun(await this.runs.find(id));
  }

  @Get(':id/rounds')
  rounds(@Param('id') id: string): Promise<readonly RoundView[]> {
    return this.views.roundsOf(id);
  }

  @Post(':id/stop')
  @HttpCode(200)
  async stop(@Param('id') id: string): Promise<RunView> {
    return this.views.ofRun(await this.runs.stop(id));
  }
}
