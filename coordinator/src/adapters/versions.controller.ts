import { Controller, Get, Inject, Param, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { VersionView } from '@fedlora/shared';
import { expectRun, isOperator, type Principal } from '../access/principal.js';
import { Anyone } from '../nest/asking.js';
import { expectNotRevoked } from '../release/release.service.js';
import { Views } from '../observe/views.js';
import { SharedPieces } from './shared-pieces.js';
import { VersionStore } from './version-store.js';

@Controller('api/v1/versions/:id')
export class VersionsController {
  constructor(
    @Inject(Views) private readonly views: Views,
    @Inject(VersionStore) private readonly store: VersionStore,
    @Inject(SharedPieces) private readonly pieces: SharedPieces,
  ) {}

  @Get()
  async version(@Param('id') id: string, @Anyone() asker: Principal): Promise<VersionView> {
    const version = await this.views.version(id);
    expectRun(asker, version.runId);
    return version;
  }

  /** A file of a version. Versions never change, but may be revoked: who has a file asks whether it still may. */
  @Get('files/:file')
  async file(
    @Param('id') id: string,
    @Param('file') name: string,
    @Anyone() asker: Principal,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    if (isOperator(asker)) {
      const version = await this.views.version(id);
      expectRun(asker, version.runId);
      // Organisations get it all the same: a run that goes on trains from it.
      expectNotRevoked(version);
    }
    const { blob, bytes } = await this.store.locate(id, name);
    const etag = `"${id}-${name}"`;
    response.set({ etag, 'cache-control': 'private, no-cache' });
    if (request.headers['if-none-match'] === etag) {
      response.status(304).end();
      return;
    }
    response.set({ 'content-type': 'application/octet-stream', 'content-length': String(bytes) });
    await this.pieces.send(response, blob, 0, bytes);
  }
}
