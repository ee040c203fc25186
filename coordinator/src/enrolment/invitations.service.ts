/** Invitations: made by an operator, each for one organisation of a name, once; withdrawn as long as nobody has used them. */

import { randomBytes } from 'node:crypto';
import {
  FedloraError,
  type InvitationRequest,
  type InvitationResponse,
  type InvitationsQuery,
  type InvitationStatus,
  type InvitationView,
  type Page,
} from '@fedlora/shared';
import { pageByAge } from '../api/page.js';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Log } from '../observe/log.js';
import { createToken, tokenHash } from '../storage/keys.js';
import type { Invitation, InvitationsRepository } from './invitations.repository.js';

const DAY_SECONDS = 24 * 3600;

export interface InvitationParts {
  readonly invitations: InvitationsRepository;
  readonly audit: AuditLog;
  readonly federationKey: string;
  readonly coordinatorKey: string;
  readonly log: Log;
  readonly now: () => number;
}

export class InvitationService {
  constructor(private readonly parts: InvitationParts) {}

  /** A token that one organisation of this name may use once. */
  async invite(request: InvitationRequest, by: Origin): Promise<InvitationResponse> {
    const { invitations, audit, coordinatorKey, federationKey, log, now } = this.parts;
    const { name } = request;
    const id = randomBytes(8).toString('hex');
    const token = createToken();
    const createdAt = now();
    const expiresAt = createdAt + (request.lifetimeSeconds ?? DAY_SECONDS) * 1000;
    await audit.recording(async (trx) => {
      await invitations.add(
        {
          token_hash: tokenHash(token),
          id,
          name,
          created_by: by.actor.name ?? null,
          created_at: createdAt,
          expires_at: expiresAt,
          spent_at: null,
          withdrawn_at: null,
        },
        trx,
      );
      return [{ event: 'invitation.created', by, details: { id, name, expiresAt } }, undefined] as const;
    });
    log.info('enrol.invitation.created', { name });
    return { id, token, expiresAt, coordinatorKey, federationKey };
  }

  /** Newest first. */
  async list(query: InvitationsQuery): Promise<Page<InvitationView>> {
    const now = this.parts.now();
    const all = (await this.parts.invitations.list()).map((invitation) => invitationView(invitation, now));
    return pageByAge(
      query,
      all.filter(({ status }) => query.status == null || status === query.status),
    );
  }

  /**
   * Makes an invitation worthless. Doing it again changes nothing.
   *
   * @throws FedloraError enrol/unknown-invitation | enrol/invitation-ended: somebody has used it
   */
  async withdraw(id: string, by: Origin): Promise<void> {
    const { invitations, audit, log, now } = this.parts;
    await audit.transaction(async (trx) => {
      const invitation = await invitations.byId(id, trx);
      if (invitation === undefined) throw new FedloraError('enrol/unknown-invitation');
      const { name, spent_at: spentAt, withdrawn_at: withdrawnAt } = invitation;
      if (spentAt !== null) throw new FedloraError('enrol/invitation-ended');
      if (withdrawnAt !== null) return;
      await invitations.withdraw(id, now(), trx);
      await audit.append({ event: 'invitation.withdrawn', by, details: { id, name } }, trx);
      log.info('enrol.invitation.withdrawn', { name });
    });
  }
}

function invitationView(invitation: Invitation, now: number): InvitationView {
  return {
    id: invitation.id,
    name: invitation.name,
    status: statusOf(invitation, now),
    createdBy: invitation.created_by,
    createdAt: invitation.created_at,
    expiresAt: invitation.expires_at,
    endedAt: invitation.spent_at ?? invitation.withdrawn_at,
  };
}

function statusOf({ spent_at, withdrawn_at, expires_at }: Invitation, now: number): InvitationStatus {
  if (spent_at !== null) return 'used';
  if (withdrawn_at !== null) return 'withdrawn';
  return expires_at < now ? 'expired' : 'open';
}
