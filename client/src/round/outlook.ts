/** What a data set will have spent after one more round, in the terms of that round. */

import type { LedgerEntry } from '../storage/ledger-chain.js';
import { protectedBy, Spending, type Charge } from '../storage/spending.js';
import type { Outlook } from './policy.js';

const DAY_MS = 24 * 3600_000;

/**
 * Epsilon at the charge's delta, with this charge, over everything recorded and over the last days; infinite where no promise can
 * be made. A charge of the future, which a clock that was set back leaves behind, counts for the period as well.
 */
export function outlook(
  ledger: { readonly spending: Spending; readonly entries: readonly LedgerEntry[] },
  charge: Charge,
  periodDays: number,
  now: number,
): Pick<Outlook, 'epsilon' | 'epsilonInPeriod'> {
  const recent = ledger.entries.filter(({ at }) => at > now - periodDays * DAY_MS);
  return {
    epsilon: projectedEpsilon(ledger.spending, charge),
    epsilonInPeriod: projectedEpsilon(Spending.of(recent), charge),
  };
}

function projectedEpsilon(spending: Spending, charge: Charge): number {
  if (charge.unit === 'none') return Infinity;
  return spending.epsilon(protectedBy(charge.unit), charge.delta, charge);
}
