import { describe, expect, it } from 'vitest';
import { meant, startingDescription, valueAt, withValue } from './fields.js';

describe('a field of a description', () => {
  it('makes the part that it stands in, and takes it out again when it is emptied', () => {
    const measured = withValue(startingDescription, 'metrics.evaluation.fraction', 0.2);
    expect(valueAt(measured, 'metrics')).toEqual({ evaluation: { fraction: 0.2 } });
    const both = withValue(measured, 'metrics.clipping.quantile', 0.5);
    const clipped = withValue(both, 'metrics.evaluation.fraction', undefined);
    expect(valueAt(clipped, 'metrics')).toEqual({ clipping: { quantile: 0.5 } });
    expect(withValue(clipped, 'metrics.clipping.quantile', undefined)).toEqual(startingDescription);
  });

  it('does not leave the page where it has no meaning any more', () => {
    const rate = withValue(startingDescription, 'metrics.clipping.learningRate', 2);
    expect(meant(rate)).toEqual(startingDescription);
    const template = withValue(startingDescription, 'data.chatTemplate', 'a'.repeat(64));
    expect(meant(template)).toEqual(startingDescription);
    const chat = withValue(template, 'data.format', 'messages');
    expect(meant(chat)).toEqual(chat);
    const kept = withValue(rate, 'metrics.clipping.quantile', 0.5);
    expect(meant(kept).metrics).toEqual({ clipping: { quantile: 0.5, learningRate: 2 } });
  });
});
