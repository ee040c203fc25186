import { Body, Controller, Get, Headers, HttpCode, Inject, Param, Post, Put, Query } from '@nestjs/common';
import {
  CalendarQuery,
  RunSchedule,
  type CalendarView,
  type SchedulePreview,
  type ScheduleView,
} from '@fedlora/shared';
import type { Operator } from '../access/principal.js';
import type { Origin } from '../audit/origin.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { ScheduleService } from './schedule.service.js';

@Controller('api/v1')
export class ScheduleController {
  constructor(@Inject(ScheduleService) private readonly schedules: ScheduleService) {}

  @Get('runs/:id/schedule')
  schedule(@Param('id') id: string): Promise<ScheduleView> {
    return this.schedules.of(id);
  }

  @Put('runs/:id/schedule')
  replace(
    @Param('id') id: string,
    @Body(new ValidatedPipe(RunSchedule)) schedule: RunSchedule,
    @By() by: Origin,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<ScheduleView> {
    return this.schedules.replace(id, schedule, by, ifMatch);
  }

  @Post('runs/:id/schedule/preview')
  @HttpCode(200)
  preview(
    @Param('id') id: string,
    @Body(new ValidatedPipe(RunSchedule)) schedule: RunSchedule,
  ): Promise<SchedulePreview> {
    return this.schedules.preview(id, schedule);
  }

  @Get('calendar')
  calendar(
    @Query(new ValidatedPipe(CalendarQuery)) query: CalendarQuery,
    @Asking() operator: Operator,
  ): Promise<CalendarView> {
    return this.schedules.calendar(query, operator);
  }
}
