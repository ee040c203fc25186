import { FedloraError } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { Backoff } from './backoff.js';

const busy = (retryAfterMs: number): FedloraError =>
  new FedloraError('coordinator/busy', undefined, { details: { status: 503, retryAfterMs } });

describe('Backoff', () => {
  it('doubles up to its most, and cuts each delay by a random half', () => {
    const backoff = new Backoff({ firstMs: 100, mostMs: 300 });
    for (const longest of [100, 200, 300, 300]) {
      const delay = backoff.nextMs();
      expect(delay).toBeGreaterThanOrEqual(longest / 2);
      expect(delay).toBeLessThanOrEqual(longest);
    }
  });

  it('waits no less than the coordinator asks for, and up to half as much again, so that not all come at once', () => {
    const delays = Array.from({ length: 50 }, () => new Backoff({ firstMs: 1 }).nextMs(busy(2000)));
    for (const delay of delays) {
      expect(delay).toBeGreaterThanOrEqual(2000);
      expect(delay).toBeLessThanOrEqual(3000);
    }
    expect(new Set(delays).size).toBeGreaterThan(1);
  });

  it('waits its own delay where that is longer, or where nothing was asked for', () => {
    const backoff = new Backoff({ firstMs: 8000 });
    expect(backoff.nextMs(busy(1))).toBeGreaterThanOrEqual(4000);
    expect(backoff.nextMs(new Error('something else'))).toBeGreaterThanOrEqual(8000);
  });

  it('does not wait for days because a coordinator says so', () => {
    expect(new Backoff({ firstMs: 1 }).nextMs(busy(1e9))).toBeLessThanOrEqual(900_000);
  });
});
