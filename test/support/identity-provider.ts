/** A real OpenID Connect provider (oidc-provider) on loopback, whose ID tokens a test may change and sign again. */

import { createSign, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Provider } from 'oidc-provider';

export const CLIENT_ID = 'fedlora';
export const CLIENT_SECRET = 'the-secret-of-the-client-in-tests';

export type Claims = Readonly<Record<string, unknown>>;

export class TestIdentityProvider {
  /** Claims of accounts by login; who is not here has none but the subject. */
  readonly accounts = new Map<string, Claims>();
  /** What becomes of the claims of an ID token before it is signed. */
  tamper: ((claims: Claims) => Claims) | undefined;
  /** Signs tampered tokens; another key than the provider's is a forger's. */
  signingKey: KeyObject;
  /** Requests to the token endpoint so far. */
  tokenRequests = 0;

  private constructor(
    readonly issuer: string,
    private readonly server: Server,
    key: KeyObject,
  ) {
    this.signingKey = key;
  }

  static async start(redirectUri: string): Promise<TestIdentityProvider> {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const issuer = `http://localhost:${(server.address() as AddressInfo).port}`;
    const self = new TestIdentityProvider(issuer, server, privateKey);
    const provider = new Provider(issuer, {
      clients: [{ client_id: CLIENT_ID, client_secret: CLIENT_SECRET, redirect_uris: [redirectUri] }],
      jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'test', alg: 'RS256', use: 'sig' }] },
      cookies: { keys: [randomBytes(16).toString('hex')] },
      pkce: { required: () => true },
      claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
      findAccount: (_context, login) => ({
        accountId: login,
        claims: () => ({ sub: login, ...self.accounts.get(login) }),
      }),
    });
    provider.use(async (context, next) => {
      await next();
      if (context.path !== '/token') return;
      self.tokenRequests += 1;
      const body = context.body as { id_token?: string };
      if (self.tamper !== undefined && body.id_token !== undefined) body.id_token = self.forged(body.id_token);
    });
    const handle = provider.callback();
    server.on('request', (request, response) => void handle(request, response));
    return self;
  }

  /** What a person does at the provider's pages: signs in, consents, and is sent back. Returns the query of the last address. */
  async answer(url: string, login: string): Promise<string> {
    const jar = new Map<string, string>();
    const { origin } = new URL(url);
    let response = await this.ask(url, jar);
    for (let steps = 0; steps < 12; steps += 1) {
      const location = response.headers.get('location');
      if (location !== null) {
        const next = new URL(location, origin);
        if (next.origin !== origin) return next.search.slice(1);
        response = await this.ask(next.href, jar);
        continue;
      }
      const page = await response.text();
      const [, action] = /action="([^"]+)"/.exec(page) ?? [];
      const [, prompt] = /name="prompt" value="(\w+)"/.exec(page) ?? [];
      if (action === undefined || prompt === undefined) throw new Error(`No form of the provider’s: ${page}`);
      const form = new URLSearchParams({ prompt, login, password: 'any' });
      response = await this.ask(new URL(action, origin).href, jar, form);
    }
    throw new Error('The provider sends nobody back.');
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  private async ask(url: string, jar: Map<string, string>, form?: URLSearchParams): Promise<Response> {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie },
      ...(form === undefined ? {} : { method: 'POST', body: form }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      if (value === '') jar.delete(name);
      else jar.set(name, value);
    }
    return response;
  }

  private forged(token: string): string {
    const [head, body] = token.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Claims;
    const text = Buffer.from(JSON.stringify(this.tamper?.(claims))).toString('base64url');
    const signature = createSign('RSA-SHA256').update(`${head}.${text}`).sign(this.signingKey, 'base64url');
    return `${head}.${text}.${signature}`;
  }
}
