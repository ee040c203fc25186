import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query } from '@nestjs/common';
import {
  AuditFindingRequest,
  DeprecationRequest,
  PageQuery,
  RevocationRequest,
  type ComparisonView,
  type Page,
  type ReleaseView,
} from '@fedlora/shared';
import { expectRun, type Operator } from '../access/principal.js';
import type { Origin } from '../audit/origin.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { ReleaseService } from './release.service.js';
import { ReleaseViews } from './release-views.js';

@Controller('api/v1/versions/:id')
export class ReleasesController {
  constructor(
    @Inject(ReleaseViews) private readonly views: ReleaseViews,
    @Inject(ReleaseService) private readonly releases: ReleaseService,
  ) {}

  @Get('release')
  async release(@Param('id') id: string, @Asking() operator: Operator): Promise<ReleaseView> {
    return this.views.release(await this.seen(operator, id));
  }

  @Get('lineage')
  async lineage(
    @Param('id') id: string,
    @Query(new ValidatedPipe(PageQuery)) query: PageQuery,
    @Asking() operator: Operator,
  ): Promise<Page<ReleaseView>> {
    return this.views.lineage(await this.seen(operator, id), query);
  }

  @Get('comparison/:other')
  async comparison(
    @Param('id') id: string,
    @Param('other') other: string,
    @Asking() operator: Operator,
  ): Promise<ComparisonView> {
    return this.views.comparison(await this.seen(operator, id), await this.seen(operator, other));
  }

  @Post('audits')
  @HttpCode(200)
  async audit(
    @Param('id') id: string,
    @Body(new ValidatedPipe(AuditFindingRequest)) finding: AuditFindingRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<ReleaseView> {
    return this.releases.noteAudit(await this.seen(operator, id), finding, by);
  }

  @Post('revocation')
  @HttpCode(200)
  async revoke(
    @Param('id') id: string,
    @Body(new ValidatedPipe(RevocationRequest)) { reason }: RevocationRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<ReleaseView> {
    return this.releases.revoke(await this.seen(operator, id), reason, by);
  }

  @Put('deprecation')
  async deprecate(
    @Param('id') id: string,
    @Body(new ValidatedPipe(DeprecationRequest)) { note }: DeprecationRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<ReleaseView> {
    return this.releases.deprecate(await this.seen(operator, id), note, by);
  }

  @Delete('deprecation')
  async undeprecate(@Param('id') id: string, @Asking() operator: Operator, @By() by: Origin): Promise<ReleaseView> {
    return this.releases.deprecate(await this.seen(operator, id), null, by);
  }

  /** The same id, if the asker may see its run. @throws FedloraError version/unknown | access/wrong-scope */
  private async seen(operator: Operator, id: string): Promise<string> {
    expectRun(operator, (await this.views.version(id)).runId);
    return id;
  }
}
