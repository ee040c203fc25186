/** Sign-in: the identity key's signature over a fresh nonce, for a bearer token that lives in memory only. */

import { toHex, utf8 } from '@fedlora/protocol';
import { FedloraError, routes, sessionMessage, WIRE_VERSION } from '@fedlora/shared';
import type { SessionResponse } from '@fedlora/shared';
import type { Identity } from '../storage/identity.js';
import { freshNonce } from './challenge.js';
import type { Http } from './http.js';

export class SignIn {
  private current: Promise<string> | undefined;

  constructor(
    private readonly http: Http,
    private readonly identity: Identity,
    /** Signed along, so that nobody else can pass our signature on to the real coordinator. */
    private readonly coordinatorKey: string,
    /** Told at each sign-in, so that the operator can see a clock that is off. */
    private readonly now: () => number = Date.now,
  ) {}

  /** The token in use, or a new one. */
  token(): Promise<string> {
    this.current ??= this.fresh().catch((error: unknown) => {
      this.current = undefined;
      throw error;
    });
    return this.current;
  }

  /** Forgets a token that was refused, unless a newer one is in use already. */
  forget(): void {
    this.current = undefined;
  }

  private async fresh(): Promise<string> {
    const identity = this.identity.publicKey;
    const nonce = await freshNonce(this.http, identity);
    const message = utf8(sessionMessage(identity, nonce, this.coordinatorKey));
    const { token } = await this.http.post<SessionResponse>(routes.session, {
      identity,
      nonce,
      signature: toHex(this.identity.sign(message)),
      wireVersion: WIRE_VERSION,
      sentAt: this.now(),
    });
    if (typeof token !== 'string' || token === '') throw new FedloraError('connection/bad-answer');
    return token;
  }
}
