import { Controller, Get, Inject, Param, Req, Res } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { VersionView } from '@fedlora/shared';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { expectRun, isOperator, type Principal } from '../access/principal.js';
import { Anyone } from '../nest/asking.js';
import { Views } from '../observe/views.js';
import { VersionStore } from './version-store.js';

@Controller('api/v1/versions/:id')
export class VersionsController {
  constructor(
    @Inject(Views) private readonly views: Views,
    @Inject(VersionStore) private readonly store: VersionStore,
  ) {}

  @Get()
  async version(@Param('id') id: string, @Anyone() asker: Principal): Promise<VersionView> {
    const version = await this.views.version(id);
    expectRun(asker, version.runId);
    return version;
  }

  /** A file of a version. Versions never change, so a file that was fetched once need not be fetched again. */
  @Get('files/:file')
  async file(
    @Param('id') id: string,
    @Param('file') name: string,
    @Anyone() asker: Principal,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
    if (isOperator(asker)) expectRun(asker, (await this.views.version(id)).runId);
    const { path, bytes } = await this.store.locate(id, name);
    const etag = `"${id}-${name}"`;
    response.set({ etag, 'cache-control': 'private, max-age=31536000, immutable' });
    if (request.headers['if-none-match'] === etag) {
      response.status(304).end();
      return;
    }
    response.set({ 'content-type': 'application/octet-stream', 'content-length': String(bytes) });
    await pipeline(createReadStream(path), response);
  }
}
