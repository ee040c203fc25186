/** Leaving: the identity key's signature over a fresh nonce, so that nobody else can make an organisation leave. */

import { toHex, utf8 } from '@fedlora/protocol';
import { hasCode, leaveMessage, routes } from '@fedlora/shared';
import type { Identity } from '../storage/identity.js';
import { freshNonce } from './challenge.js';
import type { Http } from './http.js';

/** Returns when the coordinator knows, or no longer knows the key at all. @throws FedloraError connection/... */
export async function leaveFederation(http: Http, identity: Identity, coordinatorKey: string): Promise<void> {
  const nonce = await freshNonce(http, identity.publicKey);
  const message = utf8(leaveMessage(identity.publicKey, nonce, coordinatorKey));
  const request = { identity: identity.publicKey, nonce, signature: toHex(identity.sign(message)) };
  try {
    await http.tell(routes.leave, request);
  } catch (error) {
    if (!hasCode(error, 'session/unknown-identity')) throw error;
  }
}
