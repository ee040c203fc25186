/** From what a request brings along to who asks. */

import type { SessionService } from '../session/session.service.js';
import { API_TOKEN_PREFIX, type ApiTokens } from './api-tokens.js';
import type { Principal } from './principal.js';
import { cookieName, cookieOf } from './sign-in-cookie.js';
import type { SignIns } from './sign-ins.js';

/** What opens: a bearer token (an API token, or a client's session), or the cookie of a sign-in. */
export interface Credentials {
  readonly bearer?: string | undefined;
  readonly cookie?: string | undefined;
}

/** Whether it can only be a client's session, which the coordinator that opened it has in memory, and no other. */
export function isSessionToken(bearer: string): boolean {
  return !apiTokenOf(bearer).startsWith(API_TOKEN_PREFIX);
}

export class Authenticator {
  constructor(
    private readonly apiTokens: ApiTokens,
    private readonly signIns: SignIns,
    private readonly sessions: SessionService,
  ) {}

  /** Who it is, if the credentials are good. `isUse`: whether they count as used by this. A bearer token goes before a cookie. */
  async identify({ bearer, cookie }: Credentials, isUse = true): Promise<Principal | undefined> {
    if (bearer !== undefined) {
      if (!isSessionToken(bearer)) return this.apiTokens.open(apiTokenOf(bearer), isUse);
      const name = this.sessions.organisationOf(bearer);
      return name === undefined ? undefined : { kind: 'client', name };
    }
    return cookie === undefined ? undefined : this.signIns.open(cookie, isUse);
  }
}

/** Some clients of the Hugging Face Hub take only tokens that begin as the Hub's do. */
function apiTokenOf(bearer: string): string {
  return bearer.replace(/^hf_/, '');
}

/** What a request's headers bring. */
export function credentialsOf(headers: {
  readonly authorization?: string | undefined;
  readonly cookie?: string | undefined;
}): Credentials {
  const bearer = /^Bearer ([\w.~+/-]{10,200}=*)$/i.exec(headers.authorization ?? '')?.[1];
  // The secure name first: over TLS nobody on the way could have set it.
  const cookie = cookieOf(headers.cookie, cookieName(true)) ?? cookieOf(headers.cookie, cookieName(false));
  // A header that is no bearer token is a wrong one, not none: it must not fall back to the cookie.
  return headers.authorization === undefined ? { cookie } : { bearer: bearer ?? '' };
}
