/**
 * How an organisation joins: the operator's one-time invitation, the organisation's own key, and the federation key's certificate.
 *
 * An invitation alone makes nobody a member: runs take certified organisations only, and clients check each certificate again.
 */

import { fromHex, isCertified, utf8, type CryptoProvider } from '@fedlora/protocol';
import { enrolmentMessage, FedloraError, type EnrolRequest, type EnrolResponse } from '@fedlora/shared';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import type { Log } from '../observe/log.js';
import { tokenHash } from '../storage/keys.js';
import type { InvitationsRepository } from './invitations.repository.js';
import type { OrganisationsRepository } from './organisations.repository.js';
import type { Revocations } from './revocations.js';

export interface EnrolmentParts {
  readonly organisations: OrganisationsRepository;
  readonly invitations: InvitationsRepository;
  readonly audit: AuditLog;
  readonly crypto: CryptoProvider;
  readonly federationKey: string;
  readonly revocations: Pick<Revocations, 'isRevoked'>;
  readonly coordinatorKey: string;
  readonly announcements: Announcements;
  readonly log: Log;
  readonly now: () => number;
}

export class EnrolmentService {
  constructor(private readonly parts: EnrolmentParts) {}

  /**
   * Enrols the holder of an invitation. Asking again with the same token, name and key gets the same answer, since the first may
   * have been lost.
   *
   * @throws FedloraError enrol/token-unknown | enrol/token-spent | enrol/token-withdrawn | enrol/token-expired | enrol/wrong-name |
   *         enrol/name-taken
   * @throws FedloraError crypto/bad-signature: the sender does not hold the identity key
   */
  async enrol(request: EnrolRequest, by: Origin): Promise<EnrolResponse> {
    const { organisations, invitations, audit, crypto, revocations, announcements, log, now } = this.parts;
    const { name, identity } = request;
    const hash = tokenHash(request.token);
    const invitation = await invitations.byToken(hash);
    if (invitation === undefined) throw new FedloraError('enrol/token-unknown');
    const statement = utf8(enrolmentMessage(name, identity, request.token));
    if (!crypto.ed25519.verify(fromHex(request.signature), statement, fromHex(identity))) {
      throw new FedloraError('crypto/bad-signature', 'The enrolment is not signed by the identity that it names.');
    }
    const holder = await organisations.byName(name);
    if (invitation.spent_at !== null) {
      if (invitation.name === name && holder?.identity === identity && holder.left_at === null)
        return this.answer(name, holder.certificate);
      throw new FedloraError('enrol/token-spent');
    }
    if (invitation.withdrawn_at !== null) throw new FedloraError('enrol/token-withdrawn');
    if (invitation.expires_at < now()) throw new FedloraError('enrol/token-expired');
    if (invitation.name !== name) throw new FedloraError('enrol/wrong-name');
    // An organisation whose key was revoked comes back under its name with another key; one that left, with either.
    const isReplaced = holder !== undefined && revocations.isRevoked(holder.identity);
    const isBack = holder !== undefined && holder.left_at !== null;
    const sameKey = await organisations.byIdentity(identity);
    const isTaken =
      (holder !== undefined && !isReplaced && !isBack) || (sameKey !== undefined && !(isBack && sameKey.name === name));
    if (isTaken || revocations.isRevoked(identity)) throw new FedloraError('enrol/name-taken');
    await audit.recording(async (trx) => {
      if (!(await invitations.spend(hash, now(), trx))) throw new FedloraError('enrol/token-spent');
      await organisations.enrol({ name, identity }, now(), trx);
      const actor = { kind: 'client' as const, name };
      const record = { by: { ...by, actor }, details: { name }, after: { identity } };
      return [
        holder === undefined || holder.identity === identity
          ? { event: 'organisation.enrolled', ...record }
          : { event: 'organisation.key.replaced', ...record, before: { identity: holder.identity } },
        undefined,
      ] as const;
    });
    log.info('enrol.organisation.enrolled', { name });
    announcements.tell('organisation.changed', name);
    return this.answer(name, null);
  }

  /**
   * Stores the federation key's certificate: the organisation may take part in runs that start from now on.
   *
   * @throws FedloraError enrol/unknown-organisation | crypto/bad-signature: not the federation key's over this name and identity
   */
  async certify(name: string, certificate: string, by: Origin): Promise<void> {
    const { organisations, audit, crypto, federationKey, announcements, log } = this.parts;
    const organisation = await organisations.byName(name);
    if (organisation === undefined) throw new FedloraError('enrol/unknown-organisation');
    if (!isCertified(crypto, federationKey, { name, identity: organisation.identity, certificate })) {
      throw new FedloraError(
        'crypto/bad-signature',
        'The certificate is not the federation key’s over this name and identity.',
      );
    }
    await audit.recording(async (trx) => {
      await organisations.certify(name, certificate, trx);
      const before = { certificate: organisation.certificate };
      return [
        { event: 'organisation.certified', by, details: { name }, before, after: { certificate } },
        undefined,
      ] as const;
    });
    log.info('enrol.organisation.certified', { name });
    announcements.tell('organisation.changed', name);
  }

  private answer(name: string, certificate: string | null): EnrolResponse {
    return { name, coordinatorKey: this.parts.coordinatorKey, status: certificate === null ? 'pending' : 'active' };
  }
}
