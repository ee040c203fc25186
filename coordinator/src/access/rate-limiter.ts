/** How often somebody may ask: a bucket for each key that is emptied by asking and fills again with time. */

/** Beyond, the buckets that were used longest ago are forgotten. Bounds memory against strangers. */
const MOST_REMEMBERED = 20_000;

export interface Rate {
  /** Requests at once after a pause. */
  readonly burst: number;
  /** Requests for each second in the long run. */
  readonly perSecond: number;
}

export class RateLimiter {
  private readonly buckets = new Map<string, { left: number; at: number }>();

  constructor(
    private readonly rate: Rate,
    private readonly now: () => number,
  ) {}

  /** Counts a request. Returns the milliseconds until one is allowed: 0 if this one is. */
  take(key: string): number {
    const { burst, perSecond } = this.rate;
    const now = this.now();
    const bucket = this.buckets.get(key);
    const elapsed = bucket === undefined ? 0 : Math.max(0, now - bucket.at);
    const left = bucket === undefined ? burst : Math.min(burst, bucket.left + (elapsed / 1000) * perSecond);
    const isAllowed = left >= 1;
    // Put anew, so that the map is in order of use.
    this.buckets.delete(key);
    this.buckets.set(key, { left: isAllowed ? left - 1 : left, at: now });
    if (this.buckets.size > MOST_REMEMBERED) {
      const [oldest] = this.buckets.keys();
      this.buckets.delete(oldest);
    }
    return isAllowed ? 0 : Math.ceil(((1 - left) / perSecond) * 1000);
  }
}
