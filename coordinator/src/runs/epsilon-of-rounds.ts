import { composeRdp, rdpToEpsilon, type AccountedSteps } from '@fedlora/protocol';

/** Epsilon after so many rounds; infinite where there is no bound. */
export type EpsilonAfter = (rounds: number) => number;

/**
 * What rounds of one charge spend at a delta, on top of what was spent before.
 *
 * Renyi divergences add up, so those of one round and of what came before, which take the time, are computed once.
 */
export function epsilonOfRounds(
  charge: AccountedSteps,
  delta: number,
  spent: readonly AccountedSteps[] = [],
): EpsilonAfter {
  const { orders, rdp } = composeRdp([charge]);
  const before = spent.length === 0 ? undefined : composeRdp(spent).rdp;
  return (rounds) =>
    rounds === 0 && before === undefined
      ? 0
      : rdpToEpsilon({ orders, rdp: rdp.map((value, i) => value * rounds + (before?.[i] ?? 0)) }, delta).epsilon;
}
