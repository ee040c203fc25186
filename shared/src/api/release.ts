/** Releases as the HTTP API shows them: repositories, channels, and what speaks for and against a version. */

import type { AggregationRule, PrivacyUnit } from '@fedlora/protocol';
import type { VersionView } from './views.js';

/** The channel that follows what runs publish, and the one that the gate compares with. */
export const CANDIDATE_CHANNEL = 'candidate';
export const STABLE_CHANNEL = 'stable';

/** `not-measured`: there are no numbers to tell by. */
export const gateOutcomes = ['passed', 'failed', 'not-measured'] as const;
export type GateOutcome = (typeof gateOutcomes)[number];

export const gateChecks = ['trained', 'lineage', 'privacy', 'audit', 'better-than-start', 'loss', 'accuracy'] as const;
export type GateCheckName = (typeof gateChecks)[number];

export interface GateCheck {
  readonly name: GateCheckName;
  readonly outcome: GateOutcome;
  /** With the numbers, for people. */
  readonly reason: string;
}

/** Whether a version may be released: not worse than the stable one, in what it promises and as far as held-out rows tell. */
export interface GateView {
  /** `failed` if a check failed; else `not-measured` if one could not be made. */
  readonly outcome: GateOutcome;
  /** The stable version that it was compared with; `null`: there is none. */
  readonly reference: string | null;
  readonly checks: readonly GateCheck[];
}

/** What was measured of a version, in the round that started from it, on rows held out from training. */
export interface EvaluationView {
  /** Mean, nats per answer token. */
  readonly loss: number;
  /** Fraction of answers that are exactly right. */
  readonly accuracy: number;
  readonly roundId: string;
  readonly roundNumber: number;
}

/** What an owner's audit with canaries found out about a version: counts alone, from which the bound is computed here. */
export interface AuditFindingView {
  /** Hash of the canaries' record, fixed before they were learned from: 64 hex digits. */
  readonly seal: string;
  readonly canaries: number;
  readonly guesses: number;
  /** Guesses that were right. */
  readonly right: number;
  /** Of epsilon for one record, in 19 of 20 audits. */
  readonly epsilonLowerBound: number;
  /** What the version promises of one record; `null`: nothing. */
  readonly epsilonPromised: number | null;
  readonly at: number;
}

/** A version with everything that a decision about it needs. */
export interface ReleaseView extends VersionView {
  /** Channels that have this version now. */
  readonly channels: readonly string[];
  readonly tags: readonly string[];
  readonly runTitle: string;
  readonly baseName: string;
  readonly rule: AggregationRule;
  readonly unit: PrivacyUnit;
  /** `null` where no promise is made. */
  readonly delta: number | null;
  readonly organisations: readonly string[];
  /** The attempt that made it, counted from 1; `null` for the first version of a run. */
  readonly roundNumber: number | null;
  /** 64 hex digits each. */
  readonly manifestHash: string;
  readonly rosterHash: string;
  /** `null`: not measured, or not yet. */
  readonly evaluation: EvaluationView | null;
  /** Oldest first. */
  readonly audits: readonly AuditFindingView[];
  readonly gate: GateView;
  /** How often its weights were fetched. */
  readonly downloads: number;
}

export interface ChannelView {
  readonly name: string;
  /** `null`: every version that it had was revoked. */
  readonly version: string | null;
  /** Where a roll-back leads; `null`: nowhere. */
  readonly previous: string | null;
  /** Follows what runs publish, and cannot be moved by hand. */
  readonly isAutomatic: boolean;
  readonly changedAt: number | null;
}

/** A name for one version, for good: unlike a channel it never moves. */
export interface TagView {
  readonly name: string;
  readonly version: string;
  readonly createdAt: number;
  /** Name of who gave it. */
  readonly createdBy: string;
}

export const channelMoveKinds = ['promoted', 'rolled-back', 'revoked', 'removed'] as const;
export type ChannelMoveKind = (typeof channelMoveKinds)[number];

/** One entry of a channel's history. */
export interface ChannelMoveView {
  readonly sequence: number;
  readonly kind: ChannelMoveKind;
  readonly at: number;
  /** Name of who did it. */
  readonly by: string;
  /** What the channel had before and after. */
  readonly before: string | null;
  readonly after: string | null;
  /** Of the gate, when a version was promoted. */
  readonly gate: GateOutcome | null;
  /** Why the gate was overridden, or the version revoked. */
  readonly reason: string | null;
}

/** Where runs publish their versions: what downstream services pull from. */
export interface RepositoryView {
  /** `owner/name`. */
  readonly name: string;
  readonly baseName: string;
  /** Runs that publish into it, oldest first. */
  readonly runs: readonly string[];
  readonly versions: number;
  /** How often the weights of its versions were fetched. */
  readonly downloads: number;
  readonly channels: readonly ChannelView[];
  /** By name. */
  readonly tags: readonly TagView[];
}

/** How far the updates of two versions are apart in one module: Frobenius norms of scaled B A. */
export interface ModuleDifference {
  readonly name: string;
  readonly left: number;
  readonly right: number;
  readonly difference: number;
}

export interface ComparisonView {
  readonly left: ReleaseView;
  readonly right: ReleaseView;
  /** The newest version that both come from, or are; `null`: none. */
  readonly commonAncestor: string | null;
  /** One for each module that either adapts; `null` if they are adapters of different base models. */
  readonly modules: readonly ModuleDifference[] | null;
}

/** The key that the coordinator signs versions with. */
export interface SigningKeyView {
  /** Ed25519, 64 hex digits: what `fedlora adapter verify --key` takes. */
  readonly publicKey: string;
  /** To compare by another channel. */
  readonly fingerprint: string;
}
