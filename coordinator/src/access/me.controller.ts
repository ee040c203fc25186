import { Body, Controller, Delete, Get, HttpCode, Inject, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import type { Response } from 'express';
import {
  PageQuery,
  PasswordProof,
  PasswordRequest,
  SetupRequest,
  SignInRequest,
  TotpConfirmation,
  type MeView,
  type Page,
  type RecoveryCodes,
  type SignInView,
  type TotpOffer,
} from '@fedlora/shared';
import { pageByAge } from '../api/page.js';
import type { Origin } from '../audit/origin.js';
import type { KnownRequest } from '../nest/access.guard.js';
import { Asking, By } from '../nest/asking.js';
import { ValidatedPipe } from '../nest/validated.pipe.js';
import { Authenticator } from './authenticator.js';
import type { Operator } from './principal.js';
import { clearCookie, cookieName, giveCookie } from './sign-in-cookie.js';
import { LONGEST_MS, SignIns } from './sign-ins.js';
import { UserService } from './users.service.js';

/** What users do for themselves. */
@Controller('api/v1')
export class MeController {
  constructor(
    @Inject(UserService) private readonly users: UserService,
    @Inject(SignIns) private readonly signIns: SignIns,
    @Inject(Authenticator) private readonly authenticator: Authenticator,
  ) {}

  @Post('setup')
  @HttpCode(204)
  setUp(@Body(new ValidatedPipe(SetupRequest)) { token, password }: SetupRequest, @By() by: Origin): Promise<void> {
    return this.users.setUp(token, password, by);
  }

  /** Sets the cookie; the answer has what changes must bring along. */
  @Post('sign-in')
  @HttpCode(200)
  async signIn(
    @Body(new ValidatedPipe(SignInRequest)) credentials: SignInRequest,
    @By() by: Origin,
    @Req() request: KnownRequest,
    @Res({ passthrough: true }) response: Response,
  ): Promise<MeView> {
    const from = { address: by.address ?? 'unknown', agent: request.headers['user-agent'] ?? '' };
    const token = await this.users.signIn(credentials, from, by);
    giveCookie(request, response, cookieName(request.secure), token, LONGEST_MS);
    const operator = await this.authenticator.identify({ cookie: token });
    // Safe: the sign-in began a moment ago.
    return this.users.me(operator as Operator);
  }

  @Delete('sign-in')
  @HttpCode(204)
  async signOut(
    @Asking() operator: Operator,
    @By() by: Origin,
    @Req() request: KnownRequest,
    @Res({ passthrough: true }) response: Response,
  ): Promise<void> {
    await this.users.signOut(operator, by);
    clearCookie(request, response, cookieName(request.secure));
  }

  @Get('me')
  me(@Asking() operator: Operator): Promise<MeView> {
    return this.users.me(operator);
  }

  @Put('me/password')
  @HttpCode(204)
  changePassword(
    @Body(new ValidatedPipe(PasswordRequest)) { password, newPassword }: PasswordRequest,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<void> {
    return this.users.changePassword(operator, password, newPassword, by);
  }

  @Post('me/totp')
  @HttpCode(200)
  offerTotp(
    @Body(new ValidatedPipe(PasswordProof)) { password }: PasswordProof,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<TotpOffer> {
    return this.users.offerTotp(operator, password, by);
  }

  @Post('me/totp/confirmation')
  @HttpCode(200)
  confirmTotp(
    @Body(new ValidatedPipe(TotpConfirmation)) { code }: TotpConfirmation,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<RecoveryCodes> {
    return this.users.confirmTotp(operator, code, by);
  }

  @Post('me/totp/removal')
  @HttpCode(204)
  removeTotp(
    @Body(new ValidatedPipe(PasswordProof)) { password }: PasswordProof,
    @Asking() operator: Operator,
    @By() by: Origin,
  ): Promise<void> {
    return this.users.removeTotp(operator, password, by);
  }

  @Get('me/sign-ins')
  async list(
    @Query(new ValidatedPipe(PageQuery)) query: PageQuery,
    @Asking() operator: Operator,
  ): Promise<Page<SignInView>> {
    return pageByAge(query, await this.signIns.list(operator.userId, operator.signIn?.id));
  }

  @Delete('me/sign-ins/:id')
  @HttpCode(204)
  end(@Param('id') id: string, @Asking() operator: Operator, @By() by: Origin): Promise<void> {
    return this.users.endSignIn(operator, id, by);
  }
}
