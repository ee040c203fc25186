import { describe, expect, it } from 'vitest';
import { seededRandom } from '@fedlora/protocol/node';
import { makeCanaries } from './canaries.js';
import { measureCanaries, rightGuesses } from './measure-canaries.js';

const canaries = makeCanaries(100, seededRandom('coins'));
const coins = canaries.map(({ isIncluded }) => isIncluded);
const reference = canaries.map((_, i) => 3 + ((i * 7) % 10) / 5);
const promise = { epsilon: 1, delta: 1e-5 };

describe('guessing coins', () => {
  it('guesses that the largest scores were included and the smallest not, and abstains from those between', () => {
    const scores = [9, 8, 5, 5, 2, 1];
    expect(rightGuesses(scores, [true, true, false, true, false, false], 4)).toBe(4);
    expect(rightGuesses(scores, [false, true, true, true, false, true], 4)).toBe(2);
    expect(rightGuesses(scores, [true, false, false, false, false, false], 3)).toBe(2); // Two largest, one smallest.
    expect(rightGuesses(scores, [true, true, true, false, false, false], 6)).toBe(6);
  });
});

describe('the findings of an audit', () => {
  it('contradict the promise of an adapter that knows its canaries by heart', () => {
    const adapter = reference.map((loss, i) => (coins[i] ? 0.01 : loss + 0.1));
    const findings = measureCanaries({ canaries, guesses: 50 }, { adapter, references: [reference] }, promise);
    expect(findings).toMatchObject({ verdict: 'contradicted', right: 50, included: coins.filter(Boolean).length });
    expect(findings.membership.loss.auc).toBe(1);
  });

  it('contradict nothing where the losses have nothing to do with the coins', () => {
    const adapter = reference.map((loss, i) => loss - ((i * 13) % 17) / 10);
    const findings = measureCanaries({ canaries, guesses: 50 }, { adapter, references: [reference] }, promise);
    expect(findings.verdict).toBe('not-contradicted');
    expect(findings.epsilonLowerBound).toBeLessThan(0.5);
  });

  it('contradict nothing where nothing is promised, and count without a delta then', () => {
    const adapter = reference.map((loss, i) => (coins[i] ? 0.01 : loss));
    const findings = measureCanaries({ canaries, guesses: 50 }, { adapter, references: [reference] }, undefined);
    const p = 0.05 ** (1 / 50);
    expect(findings.verdict).toBe('nothing-promised');
    expect(findings.epsilonLowerBound).toBeCloseTo(Math.log(p / (1 - p)), 5);
  });
});
