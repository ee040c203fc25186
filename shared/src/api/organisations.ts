/** The organisations of a federation, as the HTTP API and the live namespace show them; times as Unix milliseconds. */

import type { ClientState, DeclaredBudget } from '../wire/session.js';

/**
 * The first of these that holds, from the right: enrolled but not certified, taking part, kept out of rounds by an operator, gone of
 * its own accord, or with a key that the federation has revoked.
 */
export const organisationStatuses = ['pending', 'active', 'suspended', 'left', 'revoked'] as const;
export type OrganisationStatus = (typeof organisationStatuses)[number];

export interface OrganisationView {
  readonly name: string;
  /** Fingerprint of the identity key, to compare by another channel. */
  readonly fingerprint: string;
  /** 64 hex digits. */
  readonly identity: string;
  readonly status: OrganisationStatus;
  readonly suspension: SuspensionView | null;
  /** When it left the federation; `null`: it is in it. */
  readonly leftAt: number | null;
  /** When its present key was enrolled. */
  readonly enrolledAt: number;
  readonly connected: boolean;
  readonly state: ClientState | 'offline';
  readonly lastSeenAt: number | null;
  readonly clientVersion: string | null;
  /** Kind of device that it trains on, or `auto` until its engine has chosen one. */
  readonly device: string | null;
  /** What its owner lets be known of its budget; `null`: nothing. */
  readonly declaredBudget: DeclaredBudget | null;
  /** `null` until a client that tells its time has signed in. */
  readonly clock: ClockReading | null;
  /** What is amiss, and what to do; the gravest first. */
  readonly warnings: readonly HealthWarning[];
}

export interface SuspensionView {
  readonly since: number;
  /** In the operator's words; the organisation is told, too. */
  readonly reason: string | null;
}

/** How far a client's clock is ahead of the coordinator's: within `skewMs` ± `uncertaintyMs`, in milliseconds. */
export interface ClockReading {
  /** Negative: behind. */
  readonly skewMs: number;
  /** Half the time between challenge and answer, in which the client read its clock. */
  readonly uncertaintyMs: number;
  readonly measuredAt: number;
}

/** `problem`: it cannot take part, or does so in vain. `advice`: it does, and something should be mended. */
export const warningSeverities = ['problem', 'advice'] as const;

export interface HealthWarning {
  /** Of `health/`. */
  readonly code: string;
  readonly severity: (typeof warningSeverities)[number];
  readonly message: string;
  readonly remedy: string;
}

/** An organisation with what only its own page shows. */
export interface OrganisationDetails extends OrganisationView {
  /** Every key that it had, newest first; the first is in use. */
  readonly keys: readonly OrganisationKeyView[];
  /** How its latest rounds went for it, newest first. */
  readonly latestRounds: readonly OrganisationRound[];
}

export interface OrganisationKeyView {
  /** 64 hex digits. */
  readonly identity: string;
  readonly fingerprint: string;
  readonly enrolledAt: number;
  /** When another key took its place; `null`: it is in use. */
  readonly replacedAt: number | null;
  /** Whether it is on the federation's list of revoked keys. */
  readonly revoked: boolean;
}

export interface OrganisationRound {
  readonly roundId: string;
  readonly runId: string;
  readonly number: number;
  readonly endedAt: number;
  /** `done`: the round gave a version. */
  readonly outcome: 'done' | 'aborted';
  /** Why it was out before the end; `null`: it stayed. */
  readonly failure: string | null;
}

export const invitationStatuses = ['open', 'used', 'expired', 'withdrawn'] as const;
export type InvitationStatus = (typeof invitationStatuses)[number];

/** An invitation as lists show it: without its token, of which only a hash is kept. */
export interface InvitationView {
  readonly id: string;
  /** Of the organisation that may use it. */
  readonly name: string;
  readonly status: InvitationStatus;
  /** Name of the user or token that made it; `null` where that was not kept. */
  readonly createdBy: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** When it was used or withdrawn. */
  readonly endedAt: number | null;
}
