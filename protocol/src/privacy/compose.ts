/**
 * What an adapter made of several others tells about one unit: merging looks at the adapters and not at the data, so it costs nothing
 * beyond what they were released for, but it has all of that.
 *
 * Source     SPEC §21; Dwork and Roth 2014, proposition 2.1 (post-processing) and theorem 3.16 (composition: epsilons and deltas add up);
 *            McSherry 2009, theorem 4 (parallel composition)
 * Rule       Of one run, the version with the largest epsilon counts, alone: a run's epsilon at a version covers everything that the
 *            run released up to it. Of runs that may have an organisation in common, epsilons and deltas add up. Of groups of runs
 *            with no organisation in common, the largest epsilon and the largest delta count: what one unit is, a record or an
 *            organisation, lies in one of them.
 * Units      a record is one record of one organisation: the same text in two organisations is two records, as within one run
 *
 * It is deliberately not tight: accounting all rounds of all runs together would give less, and needs more than a release tells.
 */

import type { PrivacyUnit } from '../manifest/manifest.js';

/** What of a run went into an adapter. */
export interface RunRelease {
  readonly runId: string;
  readonly unit: PrivacyUnit;
  /** Of the run up to what was taken from it; `null` where no promise is made. */
  readonly epsilon: number | null;
  readonly delta: number | null;
  /** Runs with different numbers are known to have no organisation in common. */
  readonly group: number;
}

export interface ComposedPrivacy {
  readonly unit: PrivacyUnit;
  readonly epsilon: number | null;
  readonly delta: number | null;
}

/**
 * The promise of an adapter that was made of these releases.
 *
 * Guarantee  never more than what holds: where a promise is missing, there is none for the whole
 * Edge cases no release -> nothing is promised | a release without a promise -> nothing is promised | units differ -> `record`, which
 *            every other unit implies, with the collusion bound of the weakest | one run twice -> once
 */
export function composeReleases(releases: readonly RunRelease[]): ComposedPrivacy {
  const groups = new Map<number, Map<string, { readonly epsilon: number; readonly delta: number }>>();
  for (const { runId, unit, epsilon, delta, group } of releases) {
    if (unit === 'none' || epsilon === null || delta === null) return { unit: 'none', epsilon: null, delta: null };
    const runs = groups.get(group) ?? new Map<string, { epsilon: number; delta: number }>();
    const known = runs.get(runId) ?? { epsilon: 0, delta: 0 };
    groups.set(
      group,
      runs.set(runId, { epsilon: Math.max(known.epsilon, epsilon), delta: Math.max(known.delta, delta) }),
    );
  }
  if (releases.length === 0) return { unit: 'none', epsilon: null, delta: null };
  const sums = [...groups.values()].map((runs) => {
    let [epsilon, delta] = [0, 0];
    for (const spent of runs.values()) [epsilon, delta] = [epsilon + spent.epsilon, delta + spent.delta];
    return { epsilon, delta };
  });
  const units = new Set(releases.map(({ unit }) => unit));
  return {
    unit: units.size === 1 ? releases[0].unit : 'record',
    epsilon: Math.max(...sums.map(({ epsilon }) => epsilon)),
    delta: Math.max(...sums.map(({ delta }) => delta)),
  };
}
