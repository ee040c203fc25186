import { Controller, Get, Inject, Query, Res } from '@nestjs/common';
import type { Response } from 'express';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AuditExportQuery, AuditQuery, type AuditLine, type Page } from '@fedlora/shared';
import { pageBy, positionOf } from '../api/page.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { AuditLog } from './audit-log.js';

@Controller('api/v1/audit')
export class AuditController {
  constructor(@Inject(AuditLog) private readonly audit: AuditLog) {}

  @Get()
  list(@Query(new ValidatedPipe(AuditQuery)) query: AuditQuery): Promise<Page<AuditLine>> {
    return pageBy(
      query,
      (limit) => this.audit.newest(query, limit, positionOf(query)),
      ({ entry }) => entry.sequence,
    );
  }

  /** The whole log, or what follows an entry of it, as lines that `fedlora admin audit verify` checks. */
  @Get('export')
  async export(
    @Query(new ValidatedPipe(AuditExportQuery)) query: AuditExportQuery,
    @Res() response: Response,
  ): Promise<void> {
    response.set({ 'content-type': 'application/jsonl; charset=utf-8', 'cache-control': 'no-store' });
    const lines = this.audit.after(query.after ?? 0);
    const texts = async function* (): AsyncGenerator<string> {
      for await (const line of lines) yield `${JSON.stringify(line)}\n`;
    };
    await pipeline(Readable.from(texts()), response);
  }
}
