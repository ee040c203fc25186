/** What a data set will have spent after one more round, in the terms of that round. */

import type { Charge, Spending } from '../storage/spending.js';

/** Epsilon at the charge's delta over everything recorded and this charge; infinite where no promise can be made. */
export function projectedEpsilon(spending: Spending, charge: Charge): number {
  if (charge.unit === 'none') return Infinity;
  return spending.epsilon(charge.unit, charge.delta, charge);
}
