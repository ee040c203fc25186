import { Body, Controller, Get, HttpCode, Inject, Post, Req, Res } from '@nestjs/common';
import type { Response } from 'express';
import { ProviderAnswer, type MeView, type ProviderRedirect, type SignInWays } from '@fedlora/shared';
import type { Origin } from '../audit/origin.js';
import type { KnownRequest } from '../nest/access.guard.js';
import { By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { Authenticator } from './authenticator.js';
import { FLOW_MS } from './identity-provider.js';
import type { Operator } from './principal.js';
import { ProviderSignIn } from './provider-sign-in.js';
import { clearCookie, cookieName, cookieOf, flowCookieName, giveCookie } from './sign-in-cookie.js';
import { LONGEST_MS } from './sign-ins.js';
import { UserService } from './users.service.js';

/** Sign-ins with the identity provider. The provider sends the browser to a view of the dashboard, which asks here. */
@Controller('api/v1/sign-in')
export class ProviderController {
  constructor(
    @Inject(ProviderSignIn) private readonly signIns: ProviderSignIn,
    @Inject(UserService) private readonly users: UserService,
    @Inject(Authenticator) private readonly authenticator: Authenticator,
  ) {}

  @Get()
  ways(): SignInWays {
    return { provider: this.signIns.label };
  }

  @Post('provider')
  @HttpCode(200)
  async begin(@Req() request: KnownRequest, @Res({ passthrough: true }) response: Response): Promise<ProviderRedirect> {
    const { token, url } = await this.signIns.begin();
    giveCookie(request, response, flowCookieName(request.secure), token, FLOW_MS);
    return { url };
  }

  @Post('provider/answer')
  @HttpCode(200)
  async finish(
    @Body(new ValidatedPipe(ProviderAnswer)) { query }: ProviderAnswer,
    @By() by: Origin,
    @Req() request: KnownRequest,
    @Res({ passthrough: true }) response: Response,
  ): Promise<MeView> {
    const flowCookie = flowCookieName(request.secure);
    const flow = cookieOf(request.headers.cookie, flowCookie);
    clearCookie(request, response, flowCookie);
    const from = { address: by.address ?? 'unknown', agent: request.headers['user-agent'] ?? '' };
    const token = await this.signIns.finish(flow, query, from, by);
    giveCookie(request, response, cookieName(request.secure), token, LONGEST_MS);
    const operator = await this.authenticator.identify({ cookie: token });
    // Safe: the sign-in began a moment ago.
    return this.users.me(operator as Operator);
  }
}
