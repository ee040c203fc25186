import { Body, Controller, Delete, Get, Headers, HttpCode, Inject, Param, Post, Put, Query } from '@nestjs/common';
import {
  MergeRequest,
  PageQuery,
  PromotionRequest,
  TagRequest,
  type ChannelMoveView,
  type ChannelView,
  type Page,
  type ReleaseView,
  type RepositoryView,
  type TagView,
} from '@fedlora/shared';
import { expectRun, seesRun, type Operator } from '../access/principal.js';
import { pageByName } from '../api/page.js';
import type { Origin } from '../audit/origin.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { ChannelViews } from './channel-views.js';
import { MergeService } from './merge.service.js';
import { ReleaseService } from './release.service.js';
import { ReleaseViews } from './release-views.js';

/** Whoever is limited to certain runs sees the repositories whose runs are all among them. */
@Controller('api/v1/repositories')
export class RepositoriesController {
  constructor(
    @Inject(ReleaseViews) private readonly views: ReleaseViews,
    @Inject(ChannelViews) private readonly channels: ChannelViews,
    @Inject(ReleaseService) private readonly releases: ReleaseService,
    @Inject(MergeService) private readonly merges: MergeService,
  ) {}

  @Get()
  async list(
    @Query(new ValidatedPipe(PageQuery)) query: PageQuery,
    @Asking() operator: Operator,
  ): Promise<Page<RepositoryView>> {
    const all = await this.views.repositories();
    return pageByName(
      query,
      all.filter(({ runs }) => runs.every((run) => seesRun(operator, run))),
    );
  }

  @Get(':owner/:name')
  repository(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Asking() operator: Operator,
  ): Promise<RepositoryView> {
    return this.seen(operator, owner, name);
  }

  @Get(':owner/:name/versions')
  async versions(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Query(new ValidatedPipe(PageQuery)) query: PageQuery,
    @Asking() operator: Operator,
  ): Promise<Page<ReleaseView>> {
    return this.views.releases((await this.seen(operator, owner, name)).name, query);
  }

  @Post(':owner/:name/merges')
  async merge(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Body(new ValidatedPipe(MergeRequest)) request: MergeRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<ReleaseView> {
    const { name: repository } = await this.seen(operator, owner, name);
    for (const { version } of request.parents) expectRun(operator, (await this.views.version(version)).runId);
    return this.merges.merge(repository, request, by);
  }

  @Get(':owner/:name/channels/:channel')
  async channel(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('channel') channel: string,
    @Asking() operator: Operator,
  ): Promise<ChannelView> {
    return this.channels.find((await this.seen(operator, owner, name)).name, channel);
  }

  @Get(':owner/:name/channels/:channel/moves')
  async moves(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('channel') channel: string,
    @Query(new ValidatedPipe(PageQuery)) query: PageQuery,
    @Asking() operator: Operator,
  ): Promise<Page<ChannelMoveView>> {
    return this.channels.moves((await this.seen(operator, owner, name)).name, channel, query);
  }

  @Put(':owner/:name/channels/:channel')
  async promote(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('channel') channel: string,
    @Body(new ValidatedPipe(PromotionRequest)) request: PromotionRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<ChannelView> {
    return this.releases.promote((await this.seen(operator, owner, name)).name, channel, request, by, ifMatch);
  }

  @Post(':owner/:name/channels/:channel/rollback')
  @HttpCode(200)
  async rollBack(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('channel') channel: string,
    @Asking() operator: Operator,
    @By() by: Origin,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<ChannelView> {
    return this.releases.rollBack((await this.seen(operator, owner, name)).name, channel, by, ifMatch);
  }

  @Delete(':owner/:name/channels/:channel')
  @HttpCode(204)
  async removeChannel(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('channel') channel: string,
    @Asking() operator: Operator,
    @By() by: Origin,
    @Headers('if-match') ifMatch: string | undefined,
  ): Promise<void> {
    return this.releases.removeChannel((await this.seen(operator, owner, name)).name, channel, by, ifMatch);
  }

  @Put(':owner/:name/tags/:tag')
  async tag(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('tag') tag: string,
    @Body(new ValidatedPipe(TagRequest)) { version }: TagRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<TagView> {
    return this.releases.tag((await this.seen(operator, owner, name)).name, tag, version, by);
  }

  @Delete(':owner/:name/tags/:tag')
  @HttpCode(204)
  async removeTag(
    @Param('owner') owner: string,
    @Param('name') name: string,
    @Param('tag') tag: string,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<void> {
    return this.releases.removeTag((await this.seen(operator, owner, name)).name, tag, by);
  }

  /** @throws FedloraError repository/unknown | access/wrong-scope */
  private async seen(operator: Operator, owner: string, name: string): Promise<RepositoryView> {
    const repository = await this.views.repository(`${owner}/${name}`);
    for (const run of repository.runs) expectRun(operator, run);
    return repository;
  }
}
