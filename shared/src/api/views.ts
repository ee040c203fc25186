/** What the HTTP API and the live namespace show; plain JSON, times as Unix milliseconds. */

import type { Manifest, PrivacyUnit } from '@fedlora/protocol';
import type { MergeMethod } from '../adapter/merge.js';
import type { MemoryKind } from '../memory/memory-plan.js';
import type { OrganisationView } from './organisations.js';

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[];
  /** The `cursor` of the next page; `null` after the last. */
  readonly nextCursor: string | null;
}

/** What is wrong with a field of what was asked. */
export interface FieldProblem {
  /** Path in the body, such as `privacy.delta`, or name in the query. */
  readonly field: string;
  readonly message: string;
}

/** `paused`: starts no round until an operator lets it go on; a round that was open goes to its end. */
export const runStatuses = ['running', 'paused', 'completed', 'stopped', 'failed'] as const;
export type RunStatus = (typeof runStatuses)[number];

export interface RunView {
  readonly id: string;
  readonly title: string;
  readonly status: RunStatus;
  /** Why the run ended, is paused, or waits. */
  readonly reason: string | null;
  readonly createdAt: number;
  readonly endedAt: number | null;
  readonly plannedRounds: number;
  readonly completedRounds: number;
  readonly abortedRounds: number;
  readonly unit: PrivacyUnit;
  /** Spent so far; `null` where no promise is made. */
  readonly epsilon: number | null;
  /** After all planned rounds. */
  readonly projectedEpsilon: number | null;
  readonly delta: number;
  /** What each unit's gradient or update is clipped to. */
  readonly l2Bound: number;
  /** Expected fraction of rows that are held out from training to measure the adapter; `null`: none. */
  readonly heldOutFraction: number | null;
  /** Fraction of units that should be within the clip; `null` where the run does not count them. */
  readonly clippingQuantile: number | null;
  readonly members: readonly string[];
  readonly threshold: number;
  readonly baseName: string;
  /** Newest adapter version. */
  readonly version: string;
  /** Where its versions are published, `owner/name`. */
  readonly repository: string;
  readonly bytesUpPerClient: number;
  /** When the schedule's next round is due; `null` if it says no time, or the run has ended. */
  readonly nextRoundAt: number | null;
}

/** The terms of a run, as every participant checked them. */
export interface RunTermsView {
  readonly manifest: Manifest;
  /** 64 hex digits; every key of every round depends on it. */
  readonly manifestHash: string;
  /** The coordinator's, over the manifest. */
  readonly signature: string;
  /** Who may take part, each with its identity key as 64 hex digits. */
  readonly members: readonly { readonly name: string; readonly identity: string }[];
}

/** What is wrong with a run description, or unwise in it. */
export interface PlanProblem {
  /** Path in the description, such as `privacy.delta`, also of a field that was left out; `null` if it is about no single one. */
  readonly field: string | null;
  /** Of the error that starting it would give; `plan/` for advice. */
  readonly code: string;
  readonly message: string;
  readonly remedy: string;
  /** `error`: the run would be refused. `advice`: it would start. */
  readonly severity: 'error' | 'advice';
}

/** What a run description would become, before anything starts. */
export interface RunPlanView {
  readonly problems: readonly PlanProblem[];
  /** `null` while there are errors. */
  readonly plan: RunForecast | null;
}

export interface RunForecast {
  /** As it would be signed, but for the run id and `frozenDigest`, which follows from it. */
  readonly manifest: Manifest;
  readonly members: readonly string[];
  /** Participants that every phase needs. */
  readonly threshold: number;
  /** Fewest contributions of a sum. */
  readonly minimumContributors: number;
  /** How many of all members may fall silent in a round that still finishes. */
  readonly dropoutsSurvived: number;
  /** Masked words that one participant uploads in the longest of the rounds; the other messages are not counted. */
  readonly bytesUpPerRound: number;
  /** The same in all planned rounds. */
  readonly bytesUpInAll: number;
  /** Epsilon at the run's delta after so many rounds, at most 41 points from 0 to all; empty for unit `none`. */
  readonly epsilonCurve: readonly EpsilonPoint[];
  /** The same at other noise multipliers, a fifth less and a quarter more than the run's; empty for unit `none`. */
  readonly otherNoise: readonly NoiseCurve[];
  /** One for each cap that was asked for; empty for unit `none`. */
  readonly caps: readonly CapForecast[];
  /** Of the members that declare their budget, those with the fewest rounds left first; empty for unit `none`. */
  readonly organisations: readonly OrganisationForecast[];
  /** `null` where no noise is added to the sum. */
  readonly noise: NoiseForecast | null;
  readonly memory: MemoryForecast;
}

/** Memory that a client's engine `onnx` needs with the base as NF4, bytes at the fullest moment, the process included. */
export interface MemoryForecast {
  /** By the plan that it takes where that much is free: the fastest. */
  readonly totalBytes: number;
  /** By the most sparing of its plans: below it, the client refuses the run. */
  readonly leastBytes: number;
  /** What `totalBytes` consists of; nothing that takes nothing. */
  readonly parts: readonly MemoryPart[];
  /** `false`: the description has no `vocab_size`, so that embedding, head and logits are in none of these numbers. */
  readonly countsVocabulary: boolean;
  /** Tokens of the rows that were counted: the longest that the run allows. */
  readonly rowTokens: number;
}

export interface MemoryPart {
  readonly kind: MemoryKind;
  /** In words for people. */
  readonly title: string;
  readonly bytes: number;
}

export interface EpsilonPoint {
  readonly rounds: number;
  /** `null`: more than can be counted. */
  readonly epsilon: number | null;
}

export interface NoiseCurve {
  readonly noiseMultiplier: number;
  readonly curve: readonly EpsilonPoint[];
}

/** What a cap on epsilon allows to organisations that have spent nothing on these data before. */
/** What one organisation has left for a run, by what it declares. */
export interface OrganisationForecast {
  readonly name: string;
  readonly epsilonCap: number;
  /** At the run's delta, for what the run protects; `null`: what it spent before promises nothing of the kind. */
  readonly spentEpsilon: number | null;
  /** Rounds of this run that it has left; `null`: without end. */
  readonly rounds: number | null;
}

export interface CapForecast {
  readonly epsilon: number;
  /** Rounds of this run within the cap; `null`: without end. */
  readonly rounds: number | null;
  /** Least noise multiplier with which all planned rounds stay within the cap; `null`: none does. */
  readonly noiseMultiplier: number | null;
}

/** Noise of the sum of the first round when every member takes part. */
export interface NoiseForecast {
  /** Standard deviation of each value's noise, over the clip times the expected units of the sum. */
  readonly perCoordinate: number;
  /** Norm of the trained values' noise over the longest that the expected units can sum to. Really it is more: they do not all agree. */
  readonly leastNoiseToSignal: number;
}

export type RoundPhase =
  | 'recruiting'
  | 'advertising'
  | 'revealing'
  | 'sharing'
  | 'training'
  | 'checking'
  | 'unmasking'
  | 'applying'
  | 'done'
  | 'aborted';

export interface ParticipantView {
  readonly name: string;
  /** The last phase this participant answered, or why it is out. */
  readonly status:
    'waiting' | 'advertised' | 'revealed' | 'shared' | 'uploaded' | 'checked' | 'unmasked' | 'declined' | 'dropped';
  readonly reason: string | null;
  /** Bytes of its masked contribution that are here; `null` in a round that has ended. */
  readonly receivedBytes: number | null;
}

export interface RoundView {
  readonly id: string;
  readonly runId: string;
  readonly number: number;
  readonly phase: RoundPhase;
  /** The phases that this round goes through when all is well, in order. */
  readonly phases: readonly RoundPhase[];
  /** Why it ended as it did. */
  readonly cause: string | null;
  readonly startedAt: number;
  /** The time of the schedule that it was started for; `null` if no `cron` asked for it. */
  readonly scheduledFor: number | null;
  readonly endedAt: number | null;
  readonly deadlineAt: number | null;
  /** Duration of each finished phase, milliseconds. */
  readonly phaseDurationsMs: Readonly<Record<string, number>>;
  readonly participants: readonly ParticipantView[];
  /** Length of each masked contribution; `null` in a round that has ended. */
  readonly contributionBytes: number | null;
  readonly baseVersion: string;
  readonly version: string | null;
  /** From the noised sum: mean training loss, nats per answer token. */
  readonly meanLoss: number | null;
  /** Epsilon of the run after this round. */
  readonly epsilon: number | null;
  /** Norm of the noise that is in the sum, expected, over the norm of the sum, both of trained values. */
  readonly noiseToSignal: number | null;
  /** Estimated fraction of gradients, or updates, that the clip left as they were; `null` where the run does not ask. */
  readonly fractionWithin: number | null;
  /** The clip that this round suggests for the next run. */
  readonly suggestedL2Bound: number | null;
  /** Of `baseVersion`, on rows held out from training: mean loss, nats per answer token; `null` where the run does not ask. */
  readonly heldOutLoss: number | null;
  /** Of `baseVersion`, on rows held out from training: fraction of answers that are exactly right. */
  readonly heldOutAccuracy: number | null;
}

/** When something was said of a version, and why. */
export interface VersionMark {
  readonly at: number;
  readonly reason: string;
}

export interface VersionView {
  /** 40 hex digits, derived from the content. */
  readonly id: string;
  readonly runId: string;
  /** `owner/name`. */
  readonly repository: string;
  readonly parent: string | null;
  readonly roundId: string | null;
  readonly number: number;
  readonly createdAt: number;
  readonly epsilon: number | null;
  readonly bytes: number;
  /** Its files are given to nobody any more, for good; `null`: it was not. */
  readonly revoked: VersionMark | null;
  /** Still there, but better not used; `null`: it is not. */
  readonly deprecated: VersionMark | null;
  /** What it was merged from; run, parent and number are then those of the first. `null`: a round made it. */
  readonly merge: MergeView | null;
}

/** What a version was merged from. */
export interface MergeView {
  readonly method: MergeMethod;
  /** Of the result. */
  readonly rank: number;
  readonly parents: readonly { readonly version: string; readonly weight: number }[];
  /** What is promised of the whole. */
  readonly unit: PrivacyUnit;
  readonly delta: number | null;
  /** Every run that it rests on. */
  readonly runs: readonly string[];
}

export interface Overview {
  readonly organisations: readonly OrganisationView[];
  readonly runs: readonly RunView[];
  /** Newest first, at most 200 of the newest run. */
  readonly rounds: readonly RoundView[];
  readonly version: string;
  readonly serverTime: number;
}
