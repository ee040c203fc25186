import { Body, Controller, Delete, Get, Headers, HttpCode, Inject, Param, Patch, Post, Query } from '@nestjs/common';
import {
  LinkRequest,
  NewUser,
  PageQuery,
  UserChange,
  type Page,
  type SetupLinkView,
  type UserView,
} from '@fedlora/shared';
import { pageByName } from '../api/page.js';
import type { Origin } from '../audit/origin.js';
import { By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { UserService } from './users.service.js';

@Controller('api/v1/users')
export class UsersController {
  constructor(@Inject(UserService) private readonly users: UserService) {}

  @Get()
  async list(@Query(new ValidatedPipe(PageQuery)) query: PageQuery): Promise<Page<UserView>> {
    return pageByName(query, await this.users.list());
  }

  /** The answer has the one-time link with which the user sets a password. */
  @Post()
  @HttpCode(201)
  create(@Body(new ValidatedPipe(NewUser)) request: NewUser, @By() by: Origin): Promise<SetupLinkView> {
    return this.users.create(request, by);
  }

  @Get(':id')
  user(@Param('id') id: string): Promise<UserView> {
    return this.users.find(id);
  }

  @Patch(':id')
  change(
    @Param('id') id: string,
    @Body(new ValidatedPipe(UserChange)) change: UserChange,
    @By() by: Origin,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<UserView> {
    return this.users.change(id, change, by, ifMatch);
  }

  @Post(':id/link')
  @HttpCode(201)
  link(
    @Param('id') id: string,
    @Body(new ValidatedPipe(LinkRequest)) request: LinkRequest,
    @By() by: Origin,
  ): Promise<SetupLinkView> {
    return this.users.link(id, request.removeSecondFactor === true, by);
  }

  @Delete(':id/sign-ins')
  @HttpCode(204)
  endSignIns(@Param('id') id: string, @By() by: Origin): Promise<void> {
    return this.users.endSignIns(id, by);
  }
}
