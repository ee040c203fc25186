import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import {
  CertificateRequest,
  OrganisationsQuery,
  SuspensionRequest,
  type OrganisationDetails,
  type OrganisationView,
  type Page,
} from '@fedlora/shared';
import type { Operator } from '../access/principal.js';
import { pageByName } from '../api/page.js';
import type { Origin } from '../audit/origin.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { OrganisationViews } from '../observe/organisation-views.js';
import { Views } from '../observe/views.js';
import { EnrolmentService } from './enrolment.service.js';
import { StandingService } from './standing.service.js';

@Controller('api/v1/organisations')
export class OrganisationsController {
  constructor(
    @Inject(EnrolmentService) private readonly enrolment: EnrolmentService,
    @Inject(StandingService) private readonly standing: StandingService,
    @Inject(OrganisationViews) private readonly organisations: OrganisationViews,
    @Inject(Views) private readonly views: Views,
  ) {}

  @Get()
  async list(
    @Query(new ValidatedPipe(OrganisationsQuery)) query: OrganisationsQuery,
    @Asking() operator: Operator,
  ): Promise<Page<OrganisationView>> {
    const all = await this.views.organisations(operator);
    const wanted = all.filter(({ status }) => query.status == null || status === query.status);
    return pageByName(query, wanted);
  }

  @Get(':name')
  async organisation(@Param('name') name: string, @Asking() operator: Operator): Promise<OrganisationDetails> {
    return this.organisations.details(name, await this.views.memberTest(operator));
  }

  @Post(':name/certificate')
  @HttpCode(204)
  certify(
    @Param('name') name: string,
    @Body(new ValidatedPipe(CertificateRequest)) request: CertificateRequest,
    @By() by: Origin,
  ): Promise<void> {
    return this.enrolment.certify(name, request.certificate, by);
  }

  @Post(':name/suspend')
  @HttpCode(200)
  async suspend(
    @Param('name') name: string,
    @Body(new ValidatedPipe(SuspensionRequest)) request: SuspensionRequest,
    @By() by: Origin,
  ): Promise<OrganisationDetails> {
    await this.standing.suspend(name, request.reason ?? null, by);
    return this.organisations.details(name);
  }

  @Post(':name/reinstate')
  @HttpCode(200)
  async reinstate(@Param('name') name: string, @By() by: Origin): Promise<OrganisationDetails> {
    await this.standing.reinstate(name, by);
    return this.organisations.details(name);
  }

  /** Ends an organisation's sessions and its connection; its client signs in again, unless it may not. */
  @Delete(':name/sessions')
  @HttpCode(204)
  endSessions(@Param('name') name: string, @By() by: Origin): Promise<void> {
    return this.standing.endSessions(name, by);
  }
}
