/**
 * The owner's refusals: terms of a run against the limits in policy.yaml. Reads no data, and can only make things stricter, since
 * everything that the protocol itself demands is checked elsewhere (`verify-offer.ts`).
 */

import { unitSamplingRate, type Manifest, type PrivacyUnit } from '@fedlora/protocol';
import type { FedloraErrorCode } from '@fedlora/shared';

/** What the owner allows; `config/policy-file.ts` explains each line. */
export interface PolicyTerms {
  readonly epsilonCap: number;
  readonly maximumDelta: number;
  readonly requireDifferentialPrivacy: boolean;
  readonly allowedUnits: readonly PrivacyUnit[];
  readonly minimumContributors: number;
  readonly leastThreshold: number;
  readonly maximumSamplingRate: number;
  readonly maximumL2Bound: number | undefined;
  readonly evaluation: 'never' | 'with-noise' | 'always';
  readonly allowedBases: readonly string[];
}

/**
 * The code of the first rule that a manifest breaks, or `undefined` when the owner accepts it.
 *
 * `projectedEpsilon` is what the data set will have spent after this round, at the manifest's delta: the ledger's total including
 * this round. It is not a number (NaN refuses, too) only if the accountant failed.
 */
export function refuse(
  policy: PolicyTerms,
  manifest: Manifest,
  projectedEpsilon: number,
): FedloraErrorCode | undefined {
  const { privacy, aggregation, metrics, base } = manifest;
  if (!policy.allowedBases.includes('*') && !policy.allowedBases.includes(base.digest))
    return 'policy/base-not-allowed';
  if (privacy.unit === 'none' && policy.requireDifferentialPrivacy) return 'policy/no-differential-privacy';
  if (!policy.allowedUnits.includes(privacy.unit)) return 'policy/unit-not-allowed';
  // Negated, so that NaN refuses.
  if (privacy.unit !== 'none' && !(privacy.delta <= policy.maximumDelta)) return 'policy/delta-too-large';
  if (privacy.minimumContributors < policy.minimumContributors) return 'policy/too-few-contributors';
  if (aggregation.threshold < policy.leastThreshold) return 'policy/threshold-too-low';
  if (unitSamplingRate(manifest) > policy.maximumSamplingRate) return 'policy/sampling-rate-too-high';
  if (policy.maximumL2Bound !== undefined && privacy.l2Bound > policy.maximumL2Bound) return 'policy/bound-too-large';
  const allowsEvaluation =
    policy.evaluation === 'always' || (policy.evaluation === 'with-noise' && privacy.unit !== 'none');
  if (metrics.evaluation !== undefined && !allowsEvaluation) return 'policy/evaluation-not-allowed';
  if (privacy.unit === 'client' && projectedEpsilon === Infinity) return 'policy/units-mixed';
  // Without differential privacy, which the owner then allowed by name, there is no epsilon to cap.
  if (privacy.unit !== 'none' && !(projectedEpsilon <= policy.epsilonCap)) return 'policy/epsilon-cap';
  return undefined;
}
