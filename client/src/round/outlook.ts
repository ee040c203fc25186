/** What a data set will have spent after one more round, in the terms of that round. */

import { protectedBy, Spending } from '@fedlora/protocol';
import type { Charge, LedgerEntry } from '../storage/ledger-chain.js';
import type { Outlook } from './policy.js';

const DAY_MS = 24 * 3600_000;

/**
 * Epsilon at the charge's delta, with this charge, over everything recorded and over the last days; infinite where no promise can
 * be made. A charge of the future, which a clock that was set back leaves behind, counts for the period as well.
 *
 * A round that protects the whole organisation (unit `client`) counts what was charged to any of its data sets.
 */
export function outlook(
  ledger: { readonly entries: readonly LedgerEntry[]; readonly elsewhere: readonly LedgerEntry[] },
  charge: Charge,
  periodDays: number,
  now: number,
): Pick<Outlook, 'epsilon' | 'epsilonInPeriod'> {
  const counted = charge.unit === 'client' ? [...ledger.elsewhere, ...ledger.entries] : ledger.entries;
  const recent = counted.filter(({ at }) => at > now - periodDays * DAY_MS);
  return {
    epsilon: projectedEpsilon(Spending.of(counted), charge),
    epsilonInPeriod: projectedEpsilon(Spending.of(recent), charge),
  };
}

function projectedEpsilon(spending: Spending, charge: Charge): number {
  if (charge.unit === 'none') return Infinity;
  return spending.epsilon(protectedBy(charge.unit), charge.delta, charge);
}
