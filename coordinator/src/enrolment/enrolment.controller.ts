import { Body, Controller, HttpCode, Inject, Param, Post, Put, UseGuards } from '@nestjs/common';
import {
  CertificateRequest,
  EnrolRequest,
  InvitationRequest,
  RevocationsRequest,
  type EnrolResponse,
  type InvitationResponse,
} from '@fedlora/shared';
import { OperatorGuard } from '../nest/access.guard.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { EnrolmentService } from './enrolment.service.js';

@Controller('api/v1')
export class EnrolmentController {
  constructor(@Inject(EnrolmentService) private readonly enrolment: EnrolmentService) {}

  @Post('enrol')
  @HttpCode(201)
  enrol(@Body(new ValidatedPipe(EnrolRequest)) request: EnrolRequest): Promise<EnrolResponse> {
    return this.enrolment.enrol(request);
  }

  @Post('invitations')
  @HttpCode(201)
  @UseGuards(OperatorGuard)
  invite(@Body(new ValidatedPipe(InvitationRequest)) request: InvitationRequest): Promise<InvitationResponse> {
    return this.enrolment.invite(request);
  }

  @Post('organisations/:name/certificate')
  @HttpCode(204)
  @UseGuards(OperatorGuard)
  certify(
    @Param('name') name: string,
    @Body(new ValidatedPipe(CertificateRequest)) request: CertificateRequest,
  ): Promise<void> {
    return this.enrolment.certify(name, request.certificate);
  }

  @Put('revocations')
  @HttpCode(204)
  @UseGuards(OperatorGuard)
  revoke(@Body(new ValidatedPipe(RevocationsRequest)) request: RevocationsRequest): Promise<void> {
    return this.enrolment.revoke(request.revocations);
  }
}
