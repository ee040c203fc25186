import { Controller, Head, Headers, HttpCode, Inject, Param, Patch, Req, Res } from '@nestjs/common';
import type { Response } from 'express';
import { FedloraError, uploadHeaders } from '@fedlora/shared';
import { Admissions } from '../access/admission.js';
import type { ClientRequest } from '../nest/access.guard.js';
import { RoundService } from './round.service.js';
import { whileBytesCome } from './while-bytes-come.js';

/** The resumable upload: HEAD tells how much is stored, PATCH appends a piece. */
@Controller('api/v1/rounds/:id/contribution')
export class ContributionController {
  constructor(
    @Inject(RoundService) private readonly rounds: RoundService,
    @Inject(Admissions) private readonly admissions: Admissions,
  ) {}

  @Head()
  @HttpCode(200)
  async stored(@Param('id') roundId: string, @Req() request: ClientRequest, @Res() response: Response): Promise<void> {
    const { offset, length } = await this.rounds.uploaded(request.organisation, roundId);
    response
      .set({
        [uploadHeaders.offset]: String(offset),
        [uploadHeaders.length]: String(length),
        'cache-control': 'no-store',
      })
      .end();
  }

  @Patch()
  @HttpCode(204)
  async append(
    @Param('id') roundId: string,
    @Headers(uploadHeaders.offset) offset: string | undefined,
    @Headers(uploadHeaders.length) length: string | undefined,
    @Req() request: ClientRequest,
    @Res() response: Response,
  ): Promise<void> {
    const piece = {
      offset: wholeNumber(uploadHeaders.offset, offset),
      length: wholeNumber(uploadHeaders.length, length),
      bytes: whileBytesCome(request),
    };
    // Nothing of the piece is read before its turn: what has come of it waits in the connection.
    const stored = await this.admissions.uploads.take(request.organisation, () =>
      this.rounds.upload(request.organisation, roundId, piece),
    );
    response.status(204).set(uploadHeaders.offset, String(stored)).end();
  }
}

function wholeNumber(header: string, value: string | undefined): number {
  if (value === undefined || !/^\d{1,15}$/.test(value))
    throw new FedloraError('request/invalid', `Header ${header} must be a whole number.`);
  return Number(value);
}
