import { Body, Controller, HttpCode, Inject, Post, Put } from '@nestjs/common';
import { EnrolRequest, LeaveRequest, RevocationsRequest, type EnrolResponse } from '@fedlora/shared';
import type { Origin } from '../audit/origin.js';
import { By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { EnrolmentService } from './enrolment.service.js';
import { StandingService } from './standing.service.js';

@Controller('api/v1')
export class EnrolmentController {
  constructor(
    @Inject(EnrolmentService) private readonly enrolment: EnrolmentService,
    @Inject(StandingService) private readonly standing: StandingService,
  ) {}

  @Post('enrol')
  @HttpCode(201)
  enrol(@Body(new ValidatedPipe(EnrolRequest)) request: EnrolRequest, @By() by: Origin): Promise<EnrolResponse> {
    return this.enrolment.enrol(request, by);
  }

  @Post('leave')
  @HttpCode(204)
  leave(@Body(new ValidatedPipe(LeaveRequest)) request: LeaveRequest, @By() by: Origin): Promise<void> {
    return this.standing.leave(request, by);
  }

  @Put('revocations')
  @HttpCode(204)
  revoke(@Body(new ValidatedPipe(RevocationsRequest)) request: RevocationsRequest, @By() by: Origin): Promise<void> {
    return this.standing.revoke(request.revocations, by);
  }
}
