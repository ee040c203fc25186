import { Body, Controller, Delete, HttpCode, Inject, Post, Req } from '@nestjs/common';
import { ChallengeRequest, SessionRequest, type ChallengeResponse, type SessionResponse } from '@fedlora/shared';
import { credentialsOf } from '../access/authenticator.js';
import type { ClientRequest } from '../nest/access.guard.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { SessionService } from './session.service.js';

@Controller('api/v1/session')
export class SessionController {
  constructor(@Inject(SessionService) private readonly sessions: SessionService) {}

  @Post('challenge')
  @HttpCode(200)
  challenge(@Body(new ValidatedPipe(ChallengeRequest)) request: ChallengeRequest): ChallengeResponse {
    return this.sessions.challenge(request.identity);
  }

  @Post()
  @HttpCode(201)
  open(@Body(new ValidatedPipe(SessionRequest)) request: SessionRequest): Promise<SessionResponse> {
    return this.sessions.open(request);
  }

  /** Signs the client out. */
  @Delete()
  @HttpCode(204)
  end(@Req() request: ClientRequest): void {
    const { bearer } = credentialsOf(request.headers);
    if (bearer !== undefined) this.sessions.end(bearer);
  }
}
