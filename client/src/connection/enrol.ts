/** Enrolment: an invitation's token and a fresh identity, for the coordinator's key. */

import { utf8, toHex } from '@fedlora/protocol';
import { enrolmentMessage, FedloraError, routes, type EnrolResponse } from '@fedlora/shared';
import type { Identity } from '../storage/identity.js';
import type { Http } from './http.js';

/** @throws FedloraError connection/... | enrol/bad-answer */
export async function enrol(http: Http, identity: Identity, name: string, token: string): Promise<EnrolResponse> {
  const answer = await http.post<EnrolResponse>(routes.enrol, {
    token,
    name,
    identity: identity.publicKey,
    signature: toHex(identity.sign(utf8(enrolmentMessage(name, identity.publicKey, token)))),
  });
  if (answer.name !== name || !/^[0-9a-f]{64}$/.test(answer.coordinatorKey)) {
    throw new FedloraError('enrol/bad-answer');
  }
  return answer;
}
