import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import { NewTokenRequest, PageQuery, type ApiTokenView, type NewApiToken, type Page } from '@fedlora/shared';
import { pageByAge } from '../api/page.js';
import type { Origin } from '../audit/origin.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { ApiTokens } from './api-tokens.js';
import type { Operator } from './principal.js';

@Controller('api/v1/tokens')
export class TokensController {
  constructor(@Inject(ApiTokens) private readonly tokens: ApiTokens) {}

  @Get()
  async list(
    @Query(new ValidatedPipe(PageQuery)) query: PageQuery,
    @Asking() operator: Operator,
  ): Promise<Page<ApiTokenView>> {
    return pageByAge(query, await this.tokens.list(operator));
  }

  @Post()
  @HttpCode(201)
  create(
    @Body(new ValidatedPipe(NewTokenRequest)) request: NewTokenRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<NewApiToken> {
    return this.tokens.create(request, operator, by);
  }

  @Delete(':id')
  @HttpCode(204)
  revoke(@Param('id') id: string, @Asking() operator: Operator, @By() by: Origin): Promise<void> {
    return this.tokens.revoke(id, operator, by);
  }
}
