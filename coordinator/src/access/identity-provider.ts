/**
 * The OpenID Connect provider that users may sign in with: authorization code with PKCE, by openid-client.
 *
 * Guarantee  an identity comes of an ID token that the provider signed, for this client, for the sign-in that the same browser began
 *            at most ten minutes ago, and once. What a sign-in needs (state, nonce, verifier) stays in this process's memory; the
 *            browser gets a random cookie that stands for it. A restart of the coordinator in between means to begin again.
 */

import * as client from 'openid-client';
import { FedloraError, roles, type Role } from '@fedlora/shared';
import type { OidcConfig } from '../config/oidc-config.js';
import { createToken, tokenHash } from '../storage/keys.js';

/** Who signed in, as the coordinator sees it. */
export interface Identity {
  readonly issuer: string;
  /** What the provider calls the user for good. */
  readonly subject: string;
  /** A user name: lower-case letters, digits, dots, hyphens and underscores. */
  readonly name: string;
  readonly role: Role;
}

/** A sign-in that waits for the provider's answer. */
interface Flow {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly expiresAt: number;
}

/** How long a user may take at the provider. */
export const FLOW_MS = 10 * 60_000;
/** Bounds memory: beginning costs an address one of its few tries, so nobody alone gets here. */
const MOST_FLOWS = 1000;
/** How far the provider's clock may be from ours. */
const CLOCK_TOLERANCE_SECONDS = 30;
const PROVIDER_TIMEOUT_SECONDS = 10;
const MOST_NAME = 64;

export class IdentityProvider {
  private readonly flows = new Map<string, Flow>();
  private found: Promise<client.Configuration> | undefined;

  constructor(
    private readonly config: OidcConfig,
    private readonly now: () => number,
  ) {}

  get label(): string {
    return this.config.label;
  }

  /** By which its users are known: the same with and without the slash at the end that people add and leave out. */
  get issuer(): string {
    return this.config.issuer.replace(/\/$/, '');
  }

  /** Begins a sign-in: the token for the cookie, and where to send the browser. @throws FedloraError access/provider-unreachable */
  async begin(): Promise<{ readonly token: string; readonly url: string }> {
    const provider = await this.discover();
    const token = createToken();
    const flow = {
      state: createToken(),
      nonce: createToken(),
      verifier: client.randomPKCECodeVerifier(),
      expiresAt: this.now() + FLOW_MS,
    };
    const url = client.buildAuthorizationUrl(provider, {
      redirect_uri: this.redirectUrl().href,
      scope: this.config.scope,
      state: flow.state,
      nonce: flow.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(flow.verifier),
      code_challenge_method: 'S256',
    });
    this.keep(token, flow);
    return { token, url: url.href };
  }

  /**
   * Who the provider's answer says signed in. The sign-in that the token stands for is spent by this, whatever comes of it.
   *
   * @throws FedloraError access/sign-in-spent | access/provider-unreachable | access/provider-refused | access/provider-answer;
   *   access/no-role: `details` has the subject, which is proven
   */
  async finish(token: string | undefined, query: string): Promise<Identity> {
    const flow = token === undefined ? undefined : this.take(token);
    const address = this.redirectUrl();
    address.search = query;
    // openid-client compares the state too; here it is told apart from answers that are wrong in another way.
    if (flow === undefined || address.searchParams.get('state') !== flow.state)
      throw new FedloraError('access/sign-in-spent');
    const provider = await this.discover();
    try {
      const answer = await client.authorizationCodeGrant(provider, address, {
        expectedState: flow.state,
        expectedNonce: flow.nonce,
        pkceCodeVerifier: flow.verifier,
        idTokenExpected: true,
      });
      const token = answer.claims();
      if (token === undefined) throw new FedloraError('access/provider-answer', 'The answer has no ID token.');
      if (token.iat * 1000 > this.now() + CLOCK_TOLERANCE_SECONDS * 1000) throw untrusted('iat');
      return await this.identityOf(provider, answer.access_token, token);
    } catch (error) {
      throw refusalOf(error);
    }
  }

  /** @throws FedloraError access/provider-answer | access/no-role */
  private async identityOf(
    provider: client.Configuration,
    accessToken: string,
    token: client.IDToken,
  ): Promise<Identity> {
    const { nameClaim, roleClaim, roles: roleOf } = this.config;
    let claims: Readonly<Record<string, unknown>> = token;
    // Many providers keep the ID token short and tell the rest when asked.
    const isShort = claimAt(claims, nameClaim) === undefined || claimAt(claims, roleClaim) === undefined;
    if (isShort && provider.serverMetadata().userinfo_endpoint !== undefined)
      claims = { ...(await client.fetchUserInfo(provider, accessToken, token.sub)), ...token };

    const value = claimAt(claims, roleClaim);
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    // `roles` begins with the one that may do most.
    const role = roles.find((one) =>
      values.some((given) => typeof given === 'string' && Object.hasOwn(roleOf, given) && roleOf[given] === one),
    );
    if (role === undefined)
      throw new FedloraError('access/no-role', `No value of the claim "${roleClaim}" is mapped to a role.`, {
        details: { subject: token.sub },
      });
    const given = claimAt(claims, nameClaim);
    const name = typeof given === 'string' ? userNameOf(given) : '';
    if (name === '') throw untrusted(nameClaim);
    return { issuer: this.issuer, subject: token.sub, name, role };
  }

  /** The provider's addresses and keys, found once it is there; until then every sign-in tries again. */
  private async discover(): Promise<client.Configuration> {
    const { issuer, clientId, clientSecret } = this.config;
    const url = new URL(issuer);
    this.found ??= client.discovery(
      url,
      clientId,
      {
        [client.clockSkew]: Math.round((this.now() - Date.now()) / 1000),
        [client.clockTolerance]: CLOCK_TOLERANCE_SECONDS,
      },
      client.ClientSecretBasic(clientSecret),
      {
        timeout: PROVIDER_TIMEOUT_SECONDS,
        // The signature is checked too, although the token comes straight from the provider.
        execute: [
          client.enableNonRepudiationChecks,
          ...(url.protocol === 'http:' ? [client.allowInsecureRequests] : []),
        ],
      },
    );
    try {
      return await this.found;
    } catch (cause) {
      this.found = undefined;
      throw new FedloraError('access/provider-unreachable', undefined, { cause });
    }
  }

  /** A view of the dashboard, which hands the query to `POST /sign-in/provider/answer`. */
  private redirectUrl(): URL {
    return new URL('/signed-in', this.config.publicUrl);
  }

  private keep(token: string, flow: Flow): void {
    const now = this.now();
    for (const [key, { expiresAt }] of this.flows)
      if (expiresAt <= now || this.flows.size >= MOST_FLOWS) this.flows.delete(key);
    this.flows.set(tokenHash(token), flow);
  }

  private take(token: string): Flow | undefined {
    const key = tokenHash(token);
    const flow = this.flows.get(key);
    this.flows.delete(key);
    return flow !== undefined && flow.expiresAt > this.now() ? flow : undefined;
  }
}

/** A claim of this very name, or by a path of dots through objects. */
function claimAt(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name];
  let at: unknown = claims;
  for (const part of name.split('.'))
    at = typeof at === 'object' && at !== null && Object.hasOwn(at, part) ? (at as never)[part] : undefined;
  return at;
}

/** A name of the provider's as one of ours; empty if nothing is left of it. `Ada@Example.org` is `ada-example.org`. */
export function userNameOf(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .slice(0, MOST_NAME)
    .replaceAll(/^[._-]+|[._-]+$/g, '');
}

function untrusted(claim: string): FedloraError {
  return new FedloraError('access/provider-answer', `The provider’s answer has a wrong "${claim}", or none.`);
}

/** What went wrong with an answer, in our words. Texts of the answer are not passed on: anybody could have written them. */
function refusalOf(error: unknown): FedloraError {
  if (error instanceof FedloraError) return error;
  const told = toldBy(error);
  if (told !== undefined) {
    const code = /^[a-z_]{1,40}$/.test(told) ? told : 'an unknown error';
    return new FedloraError('access/provider-refused', `The identity provider answered: ${code}.`, { cause: error });
  }
  if (isUnreachable(error)) return new FedloraError('access/provider-unreachable', undefined, { cause: error });
  const claim = wrongClaimOf(error);
  if (claim !== undefined) return untrusted(claim);
  return new FedloraError('access/provider-answer', undefined, { cause: error });
}

/** The error that the provider itself told, of an authorization or of a token request. */
function toldBy(error: unknown): string | undefined {
  if (error instanceof client.AuthorizationResponseError || error instanceof client.ResponseBodyError)
    return error.error;
  if (error instanceof client.WWWAuthenticateChallengeError) return error.cause[0]?.parameters.error ?? '';
  return undefined;
}

function isUnreachable(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  // What `fetch` rejects with has no code of openid-client's.
  if (error instanceof TypeError) return code === undefined;
  return code === 'OAUTH_TIMEOUT' || code === 'OAUTH_RESPONSE_IS_NOT_CONFORM' || code === 'OAUTH_RESPONSE_IS_NOT_JSON';
}

/** openid-client's error has the check that failed as the cause of its cause; of a claim that is missing only the text tells. */
function wrongClaimOf(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const found = at.cause as { claim?: unknown } | undefined;
    if (typeof found?.claim === 'string') return found.claim;
    const missing = /^JWT "(\w+)" .*missing/.exec(at.message)?.[1];
    if (missing !== undefined) return missing;
  }
  return undefined;
}
