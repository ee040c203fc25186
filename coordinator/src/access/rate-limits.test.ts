import { describe, expect, it } from 'vitest';
import { RateLimiter } from './rate-limiter.js';
import { networkOf, RateLimits } from './rate-limits.js';

describe('a rate limiter', () => {
  let now = 0;
  const limiter = (): RateLimiter => new RateLimiter({ burst: 3, perSecond: 0.5 }, () => now);

  it('lets a burst through, then tells how long to wait, and lets one through when that is over', () => {
    now = 1000;
    const limit = limiter();
    expect([limit.take('a'), limit.take('a'), limit.take('a'), limit.take('a')]).toEqual([0, 0, 0, 2000]);
    now += 1500;
    expect(limit.take('a')).toBe(500);
    now += 500;
    expect([limit.take('a'), limit.take('a')]).toEqual([0, 2000]);
  });

  it('does not save up more than a burst, and counts each key alone', () => {
    now = 0;
    const limit = limiter();
    limit.take('a');
    now += 3600_000;
    expect([1, 2, 3, 4].map(() => limit.take('a') > 0)).toEqual([false, false, false, true]);
    expect(limit.take('b')).toBe(0);
  });

  it('gives nothing back when the clock goes backwards', () => {
    now = 10_000;
    const limit = limiter();
    for (let i = 0; i < 3; i += 1) limit.take('a');
    now = 0;
    expect(limit.take('a')).toBe(2000);
  });
});

describe('limits of addresses', () => {
  it('are of a network of 64 bits for IPv6, and of one address for IPv4', () => {
    expect(networkOf('203.0.113.7')).toBe('203.0.113.7');
    expect(networkOf('::ffff:203.0.113.7')).toBe('203.0.113.7');
    expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe(networkOf('2001:db8:1:2::9'));
    expect(networkOf('2001:db8:1:2::9')).not.toBe(networkOf('2001:db8:1:3::9'));
    expect(networkOf('2001:db8::9')).toBe('2001:db8:0:0::/64');
    expect(networkOf('::1')).toBe('0:0:0:0::/64');
  });

  it('count tries of secrets apart from other requests', () => {
    const few = { burst: 1, perSecond: 1 };
    const limits = new RateLimits({ address: few, secrets: few, identity: few }, () => 0);
    limits.expectAddress('a', true);
    limits.expectAddress('a', false);
    expect(() => limits.expectAddress('a', true)).toThrow(
      expect.objectContaining({ code: 'request/too-many', details: { retryAfterMs: 1000 } }) as Error,
    );
  });
});
