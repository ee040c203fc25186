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
import type { Announcements } from '../observe/announcements.js';
import type { Log } from '../observe/log.js';
import type { Presence } from '../session/presence.js';
import type { AuditRepository } from '../storage/audit.repository.js';
import { createToken, tokenHash } from '../storage/keys.js';
import type { OrganisationsRepository } from './organisations.repository.js';
import type { Revocations } from './revocations.js';

const DAY_SECONDS = 24 * 3600;

export interface EnrolmentParts {
  readonly organisations: OrganisationsRepository;
  readonly audit: AuditRepository;
  readonly crypto: CryptoProvider;
  readonly federationKey: string;
  readonly revocations: Revocations;
  readonly presence: Pick<Presence, 'expel'>;
  readonly coordinatorKey: string;
  readonly announcements: Announcements;
  readonly log: Log;
  readonly now: () => number;
}

export class EnrolmentService {
  constructor(private readonly parts: EnrolmentParts) {}

  /** A token that one organisation of this name may use once. */
  async invite(request: InvitationRequest): Promise<InvitationResponse> {
    const { organisations, audit, log, now } = this.parts;
    const token = createToken();
    const expiresAt = now() + (request.lifetimeSeconds ?? DAY_SECONDS) * 1000;
    await organisations.invite({
      token_hash: tokenHash(token),
      name: request.name,
      created_at: now(),
      expires_at: expiresAt,
      spent_at: null,
    });
    await audit.record('invitation.created', { name: request.name, expiresAt });
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
  async enrol(request: EnrolRequest): Promise<EnrolResponse> {
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
    await organisations.enrol(hash, { name, identity }, now());
    await audit.record(isReplaced ? 'organisation.key.replaced' : 'organisation.enrolled', { name, identity });
    log.info('enrol.organisation.enrolled', { name });
    announcements.tell('organisation.changed', name);
    return this.answer(name, null);
  }

  /**
   * Stores the federation key's certificate: the organisation may take part in runs that start from now on.
   *
   * @throws FedloraError enrol/unknown-organisation | crypto/bad-signature: not the federation key's over this name and identity
   */
  async certify(name: string, certificate: string): Promise<void> {
    const { organisations, audit, crypto, federationKey, announcements, log } = this.parts;
    const organisation = await organisations.byName(name);
    if (organisation === undefined) throw new FedloraError('enrol/unknown-organisation');
    if (!isCertified(crypto, federationKey, { name, identity: organisation.identity, certificate })) {
      throw new FedloraError(
        'crypto/bad-signature',
        'The certificate is not the federation key’s over this name and identity.',
      );
    }
    await organisations.certify(name, certificate);
    await audit.record('organisation.certified', { name });
    log.info('enrol.organisation.certified', { name });
    announcements.tell('organisation.changed', name);
  }

  /**
   * Takes the next list of revoked keys: with effect from the next round of every run.
   *
   * @throws ProtocolError roster/revocations-invalid | roster/revocations-outdated
   */
  async revoke(text: string): Promise<void> {
    const { organisations, audit, revocations, presence, announcements, log } = this.parts;
    const { epoch, revoked } = await revocations.replace(text);
    await audit.record('federation.revoked', { epoch, keys: revoked.length });
    log.info('enrol.keys.revoked', { epoch, keys: revoked.length });
    for (const { name, identity } of await organisations.list()) {
      if (!revocations.isRevoked(identity)) continue;
      presence.expel(name);
      announcements.tell('organisation.changed', name);
    }
  }

  private answer(name: string, certificate: string | null): EnrolResponse {
    return { name, coordinatorKey: this.parts.coordinatorKey, status: certificate === null ? 'pending' : 'active' };
  }
}
