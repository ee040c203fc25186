/**
 * Whether an enrolled organisation may take part: suspended for a while by an operator, gone of its own accord, or revoked for good by
 * the federation key.
 *
 * A suspended organisation stays connected and is told so. Every run goes on without it as if it were absent, from the moment on that
 * `suspend` returns; what it had uploaded to an open round still counts.
 */

import { FedloraError, leaveMessage, type LeaveRequest, type SessionStanding } from '@fedlora/shared';
import type { AuditLog } from '../audit/audit-log.js';
import type { Origin } from '../audit/origin.js';
import type { Announcements } from '../observe/announcements.js';
import type { Log } from '../observe/log.js';
import type { RoundService } from '../rounds/round.service.js';
import type { RunService } from '../runs/run.service.js';
import type { Presence } from '../session/presence.js';
import type { SessionService } from '../session/session.service.js';
import type { Organisation, OrganisationsRepository } from './organisations.repository.js';
import type { Revocations } from './revocations.js';

export interface StandingParts {
  readonly organisations: OrganisationsRepository;
  readonly revocations: Revocations;
  readonly presence: Pick<Presence, 'expel' | 'send'>;
  readonly sessions: Pick<SessionService, 'endAllOf' | 'signerOf'>;
  readonly rounds: Pick<RoundService, 'exclude'>;
  readonly runs: Pick<RunService, 'inTurn' | 'considerAll'>;
  readonly audit: AuditLog;
  readonly announcements: Announcements;
  readonly log: Log;
  readonly now: () => number;
}

export class StandingService {
  constructor(private readonly parts: StandingParts) {}

  /** Keeps an organisation out of rounds; again, with another reason, changes the reason. @throws FedloraError enrol/unknown-organisation */
  async suspend(name: string, reason: string | null, by: Origin): Promise<void> {
    const { organisations, rounds, runs, audit, log, now } = this.parts;
    // In turn with looks at runs, so that none starts a round with it between this and its exclusion.
    await runs.inTurn(async () => {
      await audit.recording(async (trx) => {
        const before = await this.expect(name, trx);
        await organisations.setSuspension(name, { at: before.suspended_at ?? now(), reason }, trx);
        const change = { before: { ...standingOf(before) }, after: { suspended: true, reason } };
        return [{ event: 'organisation.suspended', by, details: { name }, ...change }, undefined] as const;
      });
      await rounds.exclude(name, 'organisation/suspended');
    });
    log.info('organisation.suspended', { name });
    await this.changed(name);
  }

  /** Lets a suspended organisation in again. @throws FedloraError enrol/unknown-organisation | organisation/not-suspended */
  async reinstate(name: string, by: Origin): Promise<void> {
    const { organisations, audit, log } = this.parts;
    await audit.recording(async (trx) => {
      const before = await this.expect(name, trx);
      if (before.suspended_at === null) throw new FedloraError('organisation/not-suspended');
      await organisations.setSuspension(name, null, trx);
      const change = { before: { ...standingOf(before) }, after: { suspended: false, reason: null } };
      return [{ event: 'organisation.reinstated', by, details: { name }, ...change }, undefined] as const;
    });
    log.info('organisation.reinstated', { name });
    await this.changed(name);
  }

  /**
   * An organisation leaves: it is offered no rounds, is in no new run and can no longer sign in. It may do so at any time, and again; with
   * a new invitation it comes back under its name.
   *
   * @throws FedloraError session/challenge-spent | session/unknown-identity | crypto/bad-signature
   */
  async leave(request: LeaveRequest, by: Origin): Promise<void> {
    const { organisations, sessions, rounds, runs, audit, announcements, log, now } = this.parts;
    const { organisation } = await sessions.signerOf(request, leaveMessage);
    const { name } = organisation;
    if (organisation.left_at !== null) return;
    await runs.inTurn(async () => {
      await audit.recording(async (trx) => {
        await organisations.markLeft(name, now(), trx);
        const actor = { kind: 'client' as const, name };
        return [{ event: 'organisation.left', by: { ...by, actor }, details: { name } }, undefined] as const;
      });
      await rounds.exclude(name, 'organisation/left');
    });
    log.info('organisation.left', { name });
    this.expel(name);
    announcements.tell('organisation.changed', name);
    runs.considerAll();
  }

  /** Tells a client how its organisation stands. */
  async tell(name: string): Promise<void> {
    const organisation = await this.parts.organisations.byName(name);
    if (organisation !== undefined) this.parts.presence.send(name, 'session.standing', standingOf(organisation));
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
    await this.expect(name);
    await this.parts.audit.record({ event: 'organisation.signed-out', by, details: { name } });
    this.expel(name);
  }

  private expel(name: string): void {
    this.parts.sessions.endAllOf(name);
    this.parts.presence.expel(name);
  }

  private async changed(name: string): Promise<void> {
    await this.tell(name);
    this.parts.announcements.tell('organisation.changed', name);
    this.parts.runs.considerAll();
  }

  private async expect(name: string, trx?: Parameters<OrganisationsRepository['byName']>[1]): Promise<Organisation> {
    const organisation = await this.parts.organisations.byName(name, trx);
    if (organisation === undefined) throw new FedloraError('enrol/unknown-organisation');
    return organisation;
  }
}

function standingOf({ suspended_at: at, suspension_reason: reason }: Organisation): SessionStanding {
  return { suspended: at !== null, reason };
}
