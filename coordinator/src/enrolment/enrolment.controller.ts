import { Body, Controller, Delete, HttpCode, Inject, Param, Post, Put } from '@nestjs/common';
import {
  CertificateRequest,
  EnrolRequest,
  InvitationRequest,
  RevocationsRequest,
  type EnrolResponse,
  type InvitationResponse,
} from '@fedlora/shared';
import type { Origin } from '../audit/origin.js';
import { By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { EnrolmentService } from './enrolment.service.js';

@Controller('api/v1')
export class EnrolmentController {
  constructor(@Inject(EnrolmentService) private readonly enrolment: EnrolmentService) {}

  @Post('enrol')
  @HttpCode(201)
  enrol(@Body(new ValidatedPipe(EnrolRequest)) request: EnrolRequest, @By() by: Origin): Promise<EnrolResponse> {
    return this.enrolment.enrol(request, by);
  }

  @Post('invitations')
  @HttpCode(201)
  invite(
    @Body(new ValidatedPipe(InvitationRequest)) request: InvitationRequest,
    @By() by: Origin,
  ): Promise<InvitationResponse> {
    return this.enrolment.invite(request, by);
  }

  @Post('organisations/:name/certificate')
  @HttpCode(204)
  certify(
    @Param('name') name: string,
    @Body(new ValidatedPipe(CertificateRequest)) request: CertificateRequest,
    @By() by: Origin,
  ): Promise<void> {
    return this.enrolment.certify(name, request.certificate, by);
  }

  @Put('revocations')
  @HttpCode(204)
  revoke(@Body(new ValidatedPipe(RevocationsRequest)) request: RevocationsRequest, @By() by: Origin): Promise<void> {
    return this.enrolment.revoke(request.revocations, by);
  }

  /** Ends an organisation's sessions and its connection; its client signs in again, unless it may not. */
  @Delete('organisations/:name/sessions')
  @HttpCode(204)
  endSessions(@Param('name') name: string, @By() by: Origin): Promise<void> {
    return this.enrolment.endSessions(name, by);
  }
}
