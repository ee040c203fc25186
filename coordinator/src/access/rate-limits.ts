/** How often each address and each identity may ask. */

import { FedloraError } from '@fedlora/shared';
import { actorOf, type Principal } from './principal.js';
import { RateLimiter, type Rate } from './rate-limiter.js';

export interface Rates {
  /** Of one address without a valid sign-in, session or token; many clients may share one. */
  readonly address: Rate;
  /** Of one address that tries passwords, codes and links. */
  readonly secrets: Rate;
  /** Of one user, token or organisation. */
  readonly identity: Rate;
}

export const DEFAULT_RATES: Rates = {
  address: { burst: 1000, perSecond: 20 },
  secrets: { burst: 10, perSecond: 0.2 },
  identity: { burst: 2000, perSecond: 100 },
};

export class RateLimits {
  private readonly address: RateLimiter;
  private readonly secrets: RateLimiter;
  private readonly identity: RateLimiter;

  constructor(rates: Rates, now: () => number) {
    this.address = new RateLimiter(rates.address, now);
    this.secrets = new RateLimiter(rates.secrets, now);
    this.identity = new RateLimiter(rates.identity, now);
  }

  /** @throws FedloraError request/too-many: `details.retryAfterMs` */
  expectAddress(address: string, isCostly: boolean): void {
    expectNone((isCostly ? this.secrets : this.address).take(networkOf(address)));
  }

  /** @throws FedloraError request/too-many: `details.retryAfterMs` */
  expectIdentity(principal: Principal): void {
    const { kind, id, name } = actorOf(principal);
    expectNone(this.identity.take(`${kind} ${id ?? name}`));
  }
}

function expectNone(retryAfterMs: number): void {
  if (retryAfterMs > 0) throw new FedloraError('request/too-many', undefined, { details: { retryAfterMs } });
}

/** An IPv6 network of 64 bits is one place: its holder has all its addresses. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address;
  const [head, tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const all = [...groups, ...Array<string>(Math.max(0, 8 - groups.length - rest.length)).fill('0'), ...rest];
  return `${all.slice(0, 4).join(':')}::/64`;
}
