/** A nonce of the coordinator's, for the identity key to sign: no signature is good twice. */

import { FedloraError, routes, type ChallengeResponse } from '@fedlora/shared';
import type { Http } from './http.js';

/** 64 hex digits. @throws FedloraError connection/unreachable | connection/refused | connection/bad-answer */
export async function freshNonce(http: Http, identity: string): Promise<string> {
  const { nonce } = await http.post<ChallengeResponse>(routes.challenge, { identity });
  if (typeof nonce !== 'string' || !/^[0-9a-f]{64}$/.test(nonce)) throw new FedloraError('connection/bad-answer');
  return nonce;
}
