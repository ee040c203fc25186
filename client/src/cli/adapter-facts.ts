/** What the commands of `fedlora adapter` say of a version. */

import type { VersionRecord } from '@fedlora/shared';

export function privacyOf({ unit, epsilon, delta, merge }: VersionRecord): string {
  if (unit === 'none') return merge === undefined ? 'none: no noise was added' : 'none: to a parent no noise was added';
  const runs =
    merge === undefined
      ? ''
      : `, ${merge.releases.length === 1 ? 'of one run' : `of ${merge.releases.length} runs together`}`;
  return `unit ${unit}, epsilon ${epsilon?.toFixed(3) ?? 'unknown'} at delta ${delta}${runs}`;
}

/** In what a version was made. */
export function originOf({ completedRounds, runId, merge }: VersionRecord): string {
  if (merge === undefined)
    return `Trained     ${completedRounds} ${completedRounds === 1 ? 'round' : 'rounds'} of ${runId}`;
  const parents = merge.parents.map(({ version, weight }) => `            ${version}  weight ${weight}`);
  return [`Merged      by ${merge.method}, rank ${merge.rank}, from`, ...parents].join('\n');
}
