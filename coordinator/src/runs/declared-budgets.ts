/** How far a run would come with what its organisations declare of their budgets, as their own ledgers will count it. */

import { setImmediate as pause } from 'node:timers/promises';
import { protectedBy, roundCharge, Spending, stepsWithinBudget, type Manifest } from '@fedlora/protocol';
import type { DeclaredBudget, OrganisationForecast, PlanProblem, RunForecast } from '@fedlora/shared';
import { epsilonOfRounds } from './epsilon-of-rounds.js';

/** Names in a sentence; of more it says how many. */
const NAMED = 5;

/**
 * Members that declare a budget, those with the fewest rounds left first.
 *
 * Cost   some milliseconds for each budget that is unlike the others; other work goes on in between
 */
export async function organisationForecasts(
  manifest: Manifest,
  members: readonly string[],
  budgets: ReadonlyMap<string, DeclaredBudget>,
): Promise<OrganisationForecast[]> {
  const { unit, delta } = manifest.privacy;
  const charge = roundCharge(manifest);
  if (charge === undefined || unit === 'none') return [];
  const known = new Map<string, Omit<OrganisationForecast, 'name'>>();
  const forecasts: OrganisationForecast[] = [];
  for (const name of members) {
    const budget = budgets.get(name);
    if (budget === undefined) continue;
    const key = JSON.stringify(budget);
    let found = known.get(key);
    if (found === undefined) {
      await pause();
      found = leftOf(budget);
      known.set(key, found);
    }
    forecasts.push({ name, ...found });
  }
  return forecasts.sort((a, b) => (a.rounds ?? Infinity) - (b.rounds ?? Infinity));

  function leftOf({ epsilonCap, spent, elsewhere }: DeclaredBudget): Omit<OrganisationForecast, 'name'> {
    const counted = unit === 'client' ? [...elsewhere, ...spent] : spent;
    const steps = Spending.of(counted).steps(protectedBy(unit as Exclude<typeof unit, 'none'>));
    if (steps === undefined) return { epsilonCap, spentEpsilon: null, rounds: 0 };
    const epsilonAfter = epsilonOfRounds(charge!, delta, steps);
    // Every step counted here is a round.
    const budget = { ...charge!, epsilon: epsilonCap, delta, spent: [] };
    const rounds = stepsWithinBudget(budget, ([{ steps: count }]) => epsilonAfter(count));
    return { epsilonCap, spentEpsilon: epsilonAfter(0), rounds: Number.isFinite(rounds) ? rounds : null };
  }
}

/** What to think of before a start, where budgets end before the run does. */
export function budgetAdvice({ manifest, members, organisations, ...needs }: RunForecast): PlanProblem[] {
  const short = organisations.filter(({ rounds }) => rounds !== null && rounds < manifest.rounds);
  if (short.length === 0) return [];
  const named = short.slice(0, NAMED).map(({ name, rounds }) => `${name} ${rounds}`);
  const others = short.length > NAMED ? `, and ${short.length - NAMED} more` : '';
  // Once so many have spent their budgets, too few are left.
  const spare = members.length - Math.max(needs.threshold, needs.minimumContributors);
  const last = short.at(spare)?.rounds;
  const end = last == null ? '' : ` After ${last} rounds too few are left to go on.`;
  return [
    {
      field: 'organisations',
      code: 'plan/budget-exhausted',
      message: `have not all the budget for ${manifest.rounds} rounds, by what they declare. Rounds left: ${named.join(', ')}${others}.${end}`,
      remedy: 'Plan fewer rounds, or more noise; or go on without them when their budgets are spent.',
      severity: 'advice',
    },
  ];
}
