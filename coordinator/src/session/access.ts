/** Who may do what: the operator's token, and the sessions of clients. */

import { FedloraError } from '@fedlora/shared';
import { isTokenOf } from '../storage/keys.js';
import type { SessionService } from './session.service.js';

export class Access {
  constructor(
    private readonly operatorTokenHash: string,
    private readonly sessions: SessionService,
  ) {}

  isOperator(token: string): boolean {
    return isTokenOf(token, this.operatorTokenHash);
  }

  /** @throws FedloraError session/required | session/not-allowed */
  expectOperator(token: string | undefined): void {
    if (token === undefined) throw new FedloraError('session/required');
    if (this.isOperator(token)) return;
    throw new FedloraError(
      this.sessions.organisationOf(token) === undefined ? 'session/required' : 'session/not-allowed',
    );
  }

  /** The organisation behind a client's session. @throws FedloraError session/required | session/not-allowed */
  expectClient(token: string | undefined): string {
    if (token === undefined) throw new FedloraError('session/required');
    const name = this.sessions.organisationOf(token);
    if (name !== undefined) return name;
    throw new FedloraError(this.isOperator(token) ? 'session/not-allowed' : 'session/required');
  }

  /** @throws FedloraError session/required */
  expectAnyone(token: string | undefined): void {
    if (token === undefined || !(this.isOperator(token) || this.sessions.organisationOf(token) !== undefined)) {
      throw new FedloraError('session/required');
    }
  }
}

/** The token of an `Authorization: Bearer` header. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer ([\w.~+/-]{10,200}=*)$/i.exec(header ?? '')?.[1];
}
