import type { Manifest } from '@fedlora/protocol';

/** Fewest organisations that a round can begin with. */
export function neededOrganisations({ aggregation, privacy }: Manifest): number {
  return Math.max(aggregation.threshold, privacy.minimumContributors);
}
