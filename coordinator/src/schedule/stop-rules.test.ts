import * as fc from 'fast-check';
import type { StopRules } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { ruleThatStops, type Progress } from './stop-rules.js';

const losses = (...values: (number | null)[]): Progress => ({
  completedRounds: values.length,
  measurements: values.map((loss, i) => ({ round: i + 1, loss, accuracy: loss === null ? null : 1 - loss / 10 })),
  nextEpsilon: 3,
});

describe('a stop rule', () => {
  it('that is not there stops nothing', () => {
    expect(ruleThatStops(undefined, losses(1, 1, 1))).toBeUndefined();
    expect(ruleThatStops({}, losses(1, 1, 1))).toBeUndefined();
  });

  it.each<[string, StopRules, Progress, Progress, string]>([
    ['rounds', { rounds: 3 }, losses(1, 1), losses(1, 1, 1), 'Stop rule "rounds": 3 rounds are done, of 3.'],
    [
      'a target loss',
      { heldOutLoss: 2 },
      losses(3, 2.001),
      losses(3, 2),
      'Stop rule "heldOutLoss": round 2 measured 2, and 2 was the target.',
    ],
    [
      'a target accuracy',
      { heldOutAccuracy: 0.75 },
      losses(4, 3),
      losses(4, 2),
      'Stop rule "heldOutAccuracy": round 2 measured 0.8, and 0.75 was the target.',
    ],
    [
      'a budget',
      { epsilon: 3 },
      losses(1),
      { ...losses(1), nextEpsilon: 3.01 },
      'Stop rule "epsilon": one round more would bring it to 3.01, over the budget of 3.',
    ],
    [
      'no progress of the loss',
      { noProgress: { rounds: 2, by: 0.1 } },
      losses(2, 1.5, 1.9, 1.4),
      losses(2, 1.5, 1.9, 1.45),
      'Stop rule "noProgress": the best held-out loss of the last 2 measurements is 1.45, and 1.5 before; 0.1 would have been progress.',
    ],
    [
      'no progress of the accuracy',
      { noProgress: { rounds: 1, by: 0.05, of: 'accuracy' } },
      losses(4, 3),
      losses(4, 4),
      'Stop rule "noProgress": the best held-out accuracy of the last 1 measurements is 0.6, and 0.6 before; 0.05 would have been progress.',
    ],
  ])('of %s holds when it is met, not before, and says which it is', (_what, rules, before, met, said) => {
    expect(ruleThatStops(rules, before)).toBeUndefined();
    expect(ruleThatStops(rules, met)).toBe(said);
  });

  it('on measurements stops nothing before there are enough', () => {
    expect(ruleThatStops({ heldOutLoss: 9 }, losses())).toBeUndefined();
    expect(ruleThatStops({ noProgress: { rounds: 3, by: 1 } }, losses(1, 1, 1))).toBeUndefined();
    expect(ruleThatStops({ noProgress: { rounds: 3, by: 1 } }, losses(1, null, 1, 1))).toBeUndefined();
  });

  it('of no progress never stops a run that gets better by so much in every window of rounds', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.double({ min: 0, max: 0.4, noNaN: true }), { minLength: 1, maxLength: 40 }),
        (rounds, noise) => {
          // It falls by 0.5 a round, however it jumps up in between.
          const progress = losses(...noise.map((up, i) => 100 - i / 2 + up));
          expect(ruleThatStops({ noProgress: { rounds, by: 0.05 } }, progress)).toBeUndefined();
        },
      ),
    );
  });
});
