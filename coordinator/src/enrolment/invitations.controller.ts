import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import {
  InvitationRequest,
  InvitationsQuery,
  type InvitationResponse,
  type InvitationView,
  type Page,
} from '@fedlora/shared';
import type { Origin } from '../audit/origin.js';
import { By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { InvitationService } from './invitations.service.js';

@Controller('api/v1/invitations')
export class InvitationsController {
  constructor(@Inject(InvitationService) private readonly invitations: InvitationService) {}

  @Get()
  list(@Query(new ValidatedPipe(InvitationsQuery)) query: InvitationsQuery): Promise<Page<InvitationView>> {
    return this.invitations.list(query);
  }

  @Post()
  @HttpCode(201)
  invite(
    @Body(new ValidatedPipe(InvitationRequest)) request: InvitationRequest,
    @By() by: Origin,
  ): Promise<InvitationResponse> {
    return this.invitations.invite(request, by);
  }

  @Delete(':id')
  @HttpCode(204)
  withdraw(@Param('id') id: string, @By() by: Origin): Promise<void> {
    return this.invitations.withdraw(id, by);
  }
}
