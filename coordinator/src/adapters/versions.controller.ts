import { Controller, Get, Inject, Param, Req, Res, UseGuards } from '@nestjs/common';
import type { Request, Response } from 'express';
import type { VersionView } from '@fedlora/shared';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { AnyoneGuard } from '../nest/access.guard.js';
import { Views } from '../observe/views.js';
import { VersionStore } from './version-store.js';

@Controller('api/v1/versions/:id')
@UseGuards(AnyoneGuard)
export class VersionsController {
  constructor(
    @Inject(Views) private readonly views: Views,
    @Inject(VersionStore) private readonly store: VersionStore,
  ) {}

  @Get()
  version(@Param('id') id: string): Promise<VersionView> {
    return this.views.version(id);
  }

  /** A file of a version. Versions never change, so a file that was fetched once need not be fetched again. */
  @Get('files/:file')
  async file(
    @Param('id') id: string,
    @Param('file') name: string,
    @Req() request: Request,
    @Res() response: Response,
  ): Promise<void> {
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
