/** Sign-ins with the identity provider: between its answers, the users, and the audit log. */

import { FedloraError } from '@fedlora/shared';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { IdentityProvider } from './identity-provider.js';
import type { SignInOrigin } from './sign-ins.js';
import type { UserService } from './users.service.js';

export class ProviderSignIn {
  constructor(
    /** `undefined`: none is configured. */
    private readonly provider: IdentityProvider | undefined,
    private readonly users: UserService,
    private readonly audit: AuditLog,
  ) {}

  get label(): string | null {
    return this.provider?.label ?? null;
  }

  /** @throws FedloraError access/no-provider | access/provider-unreachable */
  begin(): Promise<{ readonly token: string; readonly url: string }> {
    return this.expectProvider().begin();
  }

  /**
   * Opens a sign-in for whom the provider's answer names; returns the token for the cookie. Refusals are recorded.
   *
   * @throws FedloraError of `IdentityProvider.finish` and `UserService.signInFromProvider`; access/no-provider
   */
  async finish(flow: string | undefined, query: string, from: SignInOrigin, by: Origin): Promise<string> {
    const provider = this.expectProvider();
    const { issuer } = provider;
    try {
      return await this.users.signInFromProvider(await provider.finish(flow, query), from, by);
    } catch (error) {
      const { code, summary, details } = FedloraError.from(error);
      const { subject = null } = details;
      await this.audit.record({
        event: 'user.sign-in.refused',
        by,
        details: { issuer, code, reason: summary, ...(typeof subject === 'string' ? { subject } : {}) },
      });
      // Proven by the provider, and no longer meant to be here: what is still open is closed.
      if (code === 'access/no-role' && typeof subject === 'string')
        await this.users.endSignInsOfSubject(issuer, subject, by);
      throw error;
    }
  }

  private expectProvider(): IdentityProvider {
    if (this.provider === undefined) throw new FedloraError('access/no-provider');
    return this.provider;
  }
}
