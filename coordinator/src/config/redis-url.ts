/** The address of a Redis, as operators write it: `redis://user:password@host:6379/0`, or `rediss://` with TLS. */

import { FedloraError } from '@fedlora/shared';

/**
 * Checks an address. One without TLS is accepted for this machine only: what replicas say to each other is not for the network.
 *
 * @throws FedloraError config/invalid: says what is wrong, and nothing of the address itself, which has a password
 */
export function readRedisUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol) || url.hostname === '')
    return refuse('must look like rediss://user:password@host:6379, with special characters percent-encoded.');
  if (!/^\/?\d*$/.test(url.pathname)) return refuse('may name a database by its number only.');
  const isPlain = url.searchParams.get('tls') === 'off';
  const isHere = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url.protocol === 'redis:' && !isHere && !isPlain)
    return refuse(
      'must begin with rediss:// for a Redis on another machine, or end with ?tls=off on a network that nobody else is on.',
    );
  url.search = '';
  return url.href;
}

function refuse(why: string): never {
  throw new FedloraError('config/invalid', `redisUrl ${why}`);
}
