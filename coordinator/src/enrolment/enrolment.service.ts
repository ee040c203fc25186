/**
 * How an organisation joins: the operator's one-time invitation, the organisation's own key, and the federation key's certificate.
 *
 * An invitation alone makes nobody a member: runs take certified organisations only, and clients check each certificate again.
 */

import { fromHex, isCertified, utf8, type CryptoProvider } from '@fedlora/protocol';
import {
  enrolmentMessage,
  FedloraError,
  type EnrolRequest,
  type EnrolResponse,
  type InvitationRequest,
  type InvitationResponse,
} from '@fedlora/shared';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import type { Log } from '../observe/log.js';
import type { Presence } from '../session/presence.js';
import type { SessionService } from '../session/session.service.js';
import { createToken, tokenHash } from '../storage/keys.js';
import type { OrganisationsRepository } from './organisations.repository.js';
import type { Revocations } from './revocations.js';

const DAY_SECONDS = 24 * 3600;

export interface EnrolmentParts {
  readonly organisations: OrganisationsRepository;
  readonly audit: AuditLog;
  readonly crypto: CryptoProvider;
  readonly federationKey: string;
  readonly revocations: Revocations;
  readonly presence: Pick<Presence, 'expel'>;
  readonly sessions: Pick<SessionService, 'endAllOf'>;
  readonly coordinatorKey: string;
  readonly announcements: Announcements;
  readonly log: Log;
  readonly now: () => number;
}

export class EnrolmentService {
  constructor(private readonly parts: EnrolmentParts) {}

  /** A token that one organisation of this name may use once. */
  async invite(request: InvitationRequest, by: Origin): Promise<InvitationResponse> {
    const { organisations, audit, log, now } = this.parts;
    const token = createToken();
    const expiresAt = now() + (request.lifetimeSeconds ?? DAY_SECONDS) * 1000;
    await audit.recording(async (trx) => {
      await organisations.invite(
        {
          token_hash: tokenHash(token),
          name: request.name,
          created_at: now(),
          expires_at: expiresAt,
          spent_at: null,
        },
        trx,
      );
      return [{ event: 'invitation.created', by, details: { name: request.name, expiresAt } }, undefined] as const;
    });
    log.info('enrol.invitation.created', { name: request.name });
    return { token, expiresAt };
  }

  /**
   * Enrols the holder of an invitation. Asking again with the same token, name and key gets the same answer, since the first may
   * have been lost.
   *
   * @throws FedloraError enrol/token-unknown | enrol/token-spent | enrol/token-expired | enrol/wrong-name | enrol/name-taken
   * @throws FedloraError crypto/bad-signature: the sender does not hold the identity key
   */
  async enrol(request: EnrolRequest, by: Origin): Promise<EnrolResponse> {
    const { organisations, audit, crypto, revocations, announcements, log, now } = this.parts;
    const { name, identity } = request;
    const hash = tokenHash(request.token);
    const invitation = await organisations.invitation(hash);
    if (invitation === undefined) throw new FedloraError('enrol/token-unknown');
    const statement = utf8(enrolmentMessage(name, identity, request.token));
    if (!crypto.ed25519.verify(fromHex(request.signature), statement, fromHex(identity))) {
      throw new FedloraError('crypto/bad-signature', 'The enrolment is not signed by the identity that it names.');
    }
    const holder = await organisations.byName(name);
    if (invitation.spent_at !== null) {
      if (invitation.name === name && holder?.identity === identity) return this.answer(name, holder.certificate);
      throw new FedloraError('enrol/token-spent');
    }
    if (invitation.expires_at < now()) throw new FedloraError('enrol/token-expired');
    if (invitation.name !== name) throw new FedloraError('enrol/wrong-name');
    // An organisation whose key was revoked comes back under its name with another key.
    const isReplaced = holder !== undefined && revocations.isRevoked(holder.identity);
    const isTaken = (holder !== undefined && !isReplaced) || (await organisations.byIdentity(identity)) !== undefined;
    if (isTaken || revocations.isRevoked(identity)) throw new FedloraError('enrol/name-taken');
    await audit.recording(async (trx) => {
      await organisations.enrol(hash, { name, identity }, now(), trx);
      const actor = { kind: 'client' as const, name };
      const record = { by: { ...by, actor }, details: { name }, after: { identity } };
      return [
        isReplaced
          ? { event: 'organisation.key.replaced', ...record, before: { identity: holder.identity } }
          : { event: 'organisation.enrolled', ...record },
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

  /**
   * Takes the next list of revoked keys: with effect from the next round of every run.
   *
   * @throws ProtocolError roster/revocations-invalid | roster/revocations-outdated
   */
  async revoke(text: string, by: Origin): Promise<void> {
    const { organisations, revocations, announcements, log } = this.parts;
    const { epoch, revoked } = await revocations.replace(text, by);
    log.info('enrol.keys.revoked', { epoch, keys: revoked.length });
    for (const { name, identity } of await organisations.list()) {
      if (!revocations.isRevoked(identity)) continue;
      this.expel(name);
      announcements.tell('organisation.changed', name);
    }
  }

  /** Ends an organisation's sessions and its connection. @throws FedloraError enrol/unknown-organisation */
  async endSessions(name: string, by: Origin): Promise<void> {
    if ((await this.parts.organisations.byName(name)) === undefined)
      throw new FedloraError('enrol/unknown-organisation');
    await this.parts.audit.record({ event: 'organisation.signed-out', by, details: { name } });
    this.expel(name);
  }

  private expel(name: string): void {
    this.parts.sessions.endAllOf(name);
    this.parts.presence.expel(name);
  }

  private answer(name: string, certificate: string | null): EnrolResponse {
    return { name, coordinatorKey: this.parts.coordinatorKey, status: certificate === null ? 'pending' : 'active' };
  }
}
