/** What a data set will have spent after one more round, in the terms of that round. */

import { protectedBy, type Charge, type Spending } from '../storage/spending.js';

/** Epsilon at the charge's delta over everything recorded and this charge; infinite where no promise can be made. */
export function projectedEpsilon(spending: Spending, charge: Charge): number {
  if (charge.unit === 'none') return Infinity;
  return spending.epsilon(protectedBy(charge.unit), charge.delta, charge);
}
