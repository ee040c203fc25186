/**
 * The owner's refusals: terms of a run against the limits in policy.yaml. Reads no data, and can only make things stricter, since
 * everything that the protocol itself demands is checked elsewhere (`verify-offer.ts`).
 */

import { unitSamplingRate, type Manifest, type PrivacyUnit } from '@fedlora/protocol';
import type { FedloraErrorCode } from '@fedlora/shared';
import type { Hours } from '../config/hours.js';

/** What the owner allows; `config/policy-file.ts` explains each line. */
export interface PolicyTerms {
  readonly epsilonCap: number;
  /** Besides `epsilonCap`, over the last `periodDays`; `undefined`: none. */
  readonly epsilonCapPerPeriod: number | undefined;
  readonly periodDays: number;
  readonly maximumDelta: number;
  readonly requireDifferentialPrivacy: boolean;
  readonly allowedUnits: readonly PrivacyUnit[];
  readonly minimumContributors: number;
  readonly leastThreshold: number;
  readonly leastAssumedColluders: number;
  readonly maximumSamplingRate: number;
  readonly maximumL2Bound: number | undefined;
  readonly evaluation: 'never' | 'with-noise' | 'always';
  readonly allowedBases: readonly string[];
  /** Data sets whose spending does not count for the present one. Not a matter of terms: the ledger keeps it. */
  readonly unrelatedDatasets: readonly string[];
  /** Whether made-up rows may stand among the owner's. Not a matter of terms: the daemon keeps it. */
  readonly canaries: 'never' | 'allowed';
  readonly approval: 'automatic' | 'each-manifest';
  /** Whether the coordinator is told the cap, and what is spent. Not a matter of terms: the daemon tells it. */
  readonly declareBudget: boolean;
  /** When rounds may begin. Not a matter of terms: the daemon keeps it. */
  readonly hours: Hours;
  /** Hours of training within `periodDays`. Not a matter of terms: the daemon keeps it. */
  readonly gpuHoursPerPeriod: number | undefined;
}

/** What this machine knows besides the terms, at the moment of the offer. */
export interface Outlook {
  /** Epsilon of the data set after this round, at the manifest's delta, over everything in the ledger. NaN refuses. */
  readonly epsilon: number;
  /** The same over the charges of the last `periodDays`. */
  readonly epsilonInPeriod: number;
  /** Whether the owner has approved this very manifest. */
  readonly isApproved: boolean;
}

/** One line of the policy against one manifest. */
export interface Verdict {
  /** The key in policy.yaml. */
  readonly rule: string;
  readonly isKept: boolean;
  /** What the run asks for, in words. */
  readonly asked: string;
  /** What the owner allows, in words. */
  readonly allowed: string;
  /** With which it is declined, unless it is kept. */
  readonly code: FedloraErrorCode;
}

/** The code of the first rule that a manifest breaks, or `undefined` when the owner accepts it. */
export function refuse(policy: PolicyTerms, manifest: Manifest, outlook: Outlook): FedloraErrorCode | undefined {
  return judge(policy, manifest, outlook).find(({ isKept }) => !isKept)?.code;
}

/** Every rule that has something to say about a manifest, in the order in which they refuse. */
export function judge(policy: PolicyTerms, manifest: Manifest, outlook: Outlook): readonly Verdict[] {
  const { privacy, aggregation, metrics, base } = manifest;
  const isPrivate = privacy.unit !== 'none';
  const verdicts: Verdict[] = [];
  const rule = (name: string, isKept: boolean, asked: string, allowed: string, code: FedloraErrorCode): void => {
    verdicts.push({ rule: name, isKept, asked, allowed, code });
  };
  const atMost = (name: string, asked: number, most: number, code: FedloraErrorCode): void =>
    // In this direction, so that NaN refuses.
    rule(name, asked <= most, shown(asked), `at most ${shown(most)}`, code);
  const atLeast = (name: string, asked: number, least: number, code: FedloraErrorCode): void =>
    rule(name, asked >= least, shown(asked), `at least ${shown(least)}`, code);

  const allowsBase = policy.allowedBases.includes('*') || policy.allowedBases.includes(base.digest);
  const bases = policy.allowedBases.includes('*') ? 'any' : `${policy.allowedBases.length} by digest`;
  rule('allowedBases', allowsBase, `${base.name} (${base.digest.slice(0, 12)}…)`, bases, 'policy/base-not-allowed');
  rule(
    'requireDifferentialPrivacy',
    isPrivate || !policy.requireDifferentialPrivacy,
    isPrivate ? 'noise' : 'no noise',
    policy.requireDifferentialPrivacy ? 'noise only' : 'either',
    'policy/no-differential-privacy',
  );
  rule(
    'allowedUnits',
    policy.allowedUnits.includes(privacy.unit),
    privacy.unit,
    policy.allowedUnits.join(', '),
    'policy/unit-not-allowed',
  );
  if (isPrivate) atMost('maximumDelta', privacy.delta, policy.maximumDelta, 'policy/delta-too-large');
  atLeast(
    'minimumContributors',
    privacy.minimumContributors,
    policy.minimumContributors,
    'policy/too-few-contributors',
  );
  atLeast('leastThreshold', aggregation.threshold, policy.leastThreshold, 'policy/threshold-too-low');
  if (isPrivate)
    atLeast(
      'leastAssumedColluders',
      privacy.assumedColluders,
      policy.leastAssumedColluders,
      'policy/too-few-colluders-assumed',
    );
  atMost(
    'maximumSamplingRate',
    unitSamplingRate(manifest),
    policy.maximumSamplingRate,
    'policy/sampling-rate-too-high',
  );
  if (policy.maximumL2Bound !== undefined)
    atMost('maximumL2Bound', privacy.l2Bound, policy.maximumL2Bound, 'policy/bound-too-large');
  const allowsEvaluation = policy.evaluation === 'always' || (policy.evaluation === 'with-noise' && isPrivate);
  if (metrics.evaluation !== undefined)
    rule(
      'evaluation',
      allowsEvaluation,
      `measures on ${shown(100 * metrics.evaluation.fraction)} % of the rows, ${isPrivate ? 'with' : 'without'} noise`,
      policy.evaluation,
      'policy/evaluation-not-allowed',
    );
  // Without differential privacy, which the owner then allowed by name, there is no epsilon to cap.
  if (isPrivate) {
    if (privacy.unit === 'client' && outlook.epsilon === Infinity)
      rule('epsilonCap', false, 'a promise for the whole organisation', 'none is left', 'policy/units-mixed');
    else atMost('epsilonCap', outlook.epsilon, policy.epsilonCap, 'policy/epsilon-cap');
    if (policy.epsilonCapPerPeriod !== undefined)
      atMost(
        'epsilonCapPerPeriod',
        outlook.epsilonInPeriod,
        policy.epsilonCapPerPeriod,
        'policy/epsilon-cap-of-period',
      );
  }
  if (policy.approval === 'each-manifest')
    rule(
      'approval',
      outlook.isApproved,
      outlook.isApproved ? 'approved' : 'not approved yet',
      'what the owner has approved',
      'policy/awaiting-approval',
    );
  return verdicts;
}

function shown(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : value === Infinity ? 'infinite' : 'unknown';
}
