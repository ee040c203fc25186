/** What the owner may let the coordinator know of the budget: `declareBudget` in policy.yaml. */

import { Spending } from '@fedlora/protocol';
import { MOST_DECLARED_COSTS, type DeclaredBudget } from '@fedlora/shared';
import type { Account } from '../storage/account.js';
import type { PolicyTerms } from './policy.js';

/** `undefined` where so many kinds of steps were spent that a message would not hold them. */
export function declaredBudget(
  { epsilonCap, maximumDelta }: Pick<PolicyTerms, 'epsilonCap' | 'maximumDelta'>,
  account: Pick<Account, 'spending' | 'elsewhere'>,
): DeclaredBudget | undefined {
  const spent = account.spending.costs();
  const elsewhere = Spending.of(account.elsewhere).costs();
  if (Math.max(spent.length, elsewhere.length) > MOST_DECLARED_COSTS) return undefined;
  return { epsilonCap, maximumDelta, spent, elsewhere };
}
