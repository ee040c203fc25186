import { describe, expect, it } from 'vitest';
import { trainingLine } from './training-line.js';

describe('trainingLine', () => {
  it('shows bar, step, loss, speed and time left', () => {
    expect(trainingLine({ step: 30, steps: 120, loss: 1.23456, tokensPerSecond: 12345, secondsLeft: 754.4 })).toBe(
      '█████░░░░░░░░░░░░░░░ 30/120  loss 1.2346  12.3k tokens/s  12:34 left',
    );
  });

  it('shows the loss of the last evaluation', () => {
    const state = { step: 2, steps: 2, loss: 1, evaluationLoss: 2.5, tokensPerSecond: 90, secondsLeft: 0 };
    expect(trainingLine(state)).toBe('████████████████████ 2/2  loss 1.0000  eval 2.5000  90 tokens/s  0:00 left');
  });

  it('fits into 100 columns, however long the run', () => {
    const state = {
      step: 999_999,
      steps: 1_000_000,
      loss: 12.3456,
      evaluationLoss: 12.3456,
      tokensPerSecond: 999_949,
      secondsLeft: 359_999,
    };
    expect(trainingLine(state)).toMatch(/999\.9k tokens\/s {2}99:59:59 left$/);
    expect(trainingLine(state).length).toBeLessThanOrEqual(100);
  });
});
