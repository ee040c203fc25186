/** Organisations as the API and the live namespace show them: what is stored, who is connected, and what is amiss. */

import { fingerprint } from '@fedlora/protocol';
import {
  FedloraError,
  type OrganisationDetails,
  type OrganisationStatus,
  type OrganisationView,
} from '@fedlora/shared';
import { budgetOf, type Organisation, type OrganisationsRepository } from '../enrolment/organisations.repository.js';
import type { Revocations } from '../enrolment/revocations.js';
import type { Presence } from '../session/presence.js';
import { healthWarnings } from './organisation-health.js';
import type { TrackRecord } from './track-record.js';

export interface OrganisationViewParts {
  readonly organisations: OrganisationsRepository;
  readonly revocations: Pick<Revocations, 'isRevoked'>;
  readonly presence: Presence;
  readonly trackRecord: Pick<TrackRecord, 'latestOf'>;
  readonly programVersion: string;
  readonly now: () => number;
}

export class OrganisationViews {
  constructor(private readonly parts: OrganisationViewParts) {}

  /** By name. */
  async list(): Promise<OrganisationView[]> {
    return (await this.parts.organisations.list()).map((organisation) => this.viewOf(organisation));
  }

  async find(name: string): Promise<OrganisationView | undefined> {
    const organisation = await this.parts.organisations.byName(name);
    return organisation === undefined ? undefined : this.viewOf(organisation);
  }

  /** `isSeen`: what the asker may see; what it may not does not exist. @throws FedloraError enrol/unknown-organisation */
  async details(name: string, isSeen: (name: string) => boolean = () => true): Promise<OrganisationDetails> {
    const { organisations, revocations, trackRecord } = this.parts;
    const view = isSeen(name) ? await this.find(name) : undefined;
    if (view === undefined) throw new FedloraError('enrol/unknown-organisation');
    const keys = await organisations.keysOf(name);
    return {
      ...view,
      keys: keys.map(({ identity, enrolled_at, replaced_at }) => ({
        identity,
        fingerprint: fingerprint(identity),
        enrolledAt: enrolled_at,
        replacedAt: replaced_at,
        revoked: revocations.isRevoked(identity),
      })),
      latestRounds: trackRecord.latestOf(name),
    };
  }

  private viewOf(organisation: Organisation): OrganisationView {
    const { presence, revocations, trackRecord, programVersion, now } = this.parts;
    const { name, identity, enrolled_at: enrolledAt, client_version: clientVersion } = organisation;
    const { suspended_at, suspension_reason, clock_skew_ms, clock_uncertainty_ms, clock_measured_at, left_at } =
      organisation;
    const isRevoked = revocations.isRevoked(identity);
    const isConnected = presence.isConnected(name);
    const lastSeenAt = presence.lastSeenAt(name) ?? organisation.last_seen_at;
    const clock =
      clock_skew_ms === null || clock_uncertainty_ms === null || clock_measured_at === null
        ? null
        : { skewMs: clock_skew_ms, uncertaintyMs: clock_uncertainty_ms, measuredAt: clock_measured_at };
    const warnings = healthWarnings(
      {
        isCertified: organisation.certificate !== null,
        isRevoked,
        isSuspended: suspended_at !== null,
        hasLeft: left_at !== null,
        enrolledAt,
        isConnected,
        lastSeenAt,
        clientVersion,
        programVersion,
        clock,
        latestRounds: trackRecord.latestOf(name),
      },
      now(),
    );
    return {
      name,
      fingerprint: fingerprint(identity),
      identity,
      status: isRevoked ? 'revoked' : statusOf(organisation),
      suspension: suspended_at === null ? null : { since: suspended_at, reason: suspension_reason },
      leftAt: left_at,
      enrolledAt,
      connected: isConnected,
      state: presence.stateOf(name),
      lastSeenAt,
      clientVersion,
      device: organisation.device,
      declaredBudget: organisation.declared_budget === null ? null : budgetOf(organisation.declared_budget),
      clock,
      warnings,
    };
  }
}

function statusOf({ left_at, suspended_at, certificate }: Organisation): Exclude<OrganisationStatus, 'revoked'> {
  if (left_at !== null) return 'left';
  if (suspended_at !== null) return 'suspended';
  return certificate === null ? 'pending' : 'active';
}
