import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from 'vitest';
import { PEER_HEADER, Peers } from './peers.js';

const secret = new Uint8Array(32).fill(7);
const caller = { address: '203.0.113.5', protocol: 'https' };
const asked = { method: 'POST', url: '/api/v1/sign-in', headers: { host: 'fedlora.example.org' } };
const START = 1_700_000_000_000;

/** One whose clock a test sets, and how a request looks when it arrives there. */
function aPeer(key = secret): { peers: Peers; at: (ms: number) => void; hears: typeof hears } {
  let now = START;
  const peers = new Peers(key, () => now);
  const hears = (header: string, request: object = {}, remoteAddress = '10.0.0.6') => {
    const { headers, ...arrived } = { ...asked, ...request };
    const withHeader: IncomingHttpHeaders = { ...headers, [PEER_HEADER]: header };
    return peers.callerOf({ ...arrived, headers: withHeader, socket: { remoteAddress } });
  };
  return { peers, at: (ms) => (now = START + ms), hears };
}

describe('the header between coordinators', () => {
  it('says whose request it is, to whoever has the same key', () => {
    const header = aPeer().peers.headerFor(asked, caller);
    expect(aPeer().hears(header)).toEqual(caller);
    expect(aPeer(new Uint8Array(32)).hears(header)).toBeUndefined();
  });

  it('has any address, and what a proxy took for one, as it is', () => {
    for (const address of ['::1', 'fe80::1%eth0', '::ffff:10.0.0.1', 'unknown, not said', '"ü"\n']) {
      const header = aPeer().peers.headerFor(asked, { address, protocol: 'http' });
      expect(aPeer().hears(header)).toEqual({ address, protocol: 'http' });
    }
  });

  it('is good for its own request only', () => {
    const header = aPeer().peers.headerFor(asked, caller);
    for (const other of [{ method: 'PUT' }, { url: '/api/v1/sign-in?' }, { headers: { host: 'elsewhere' } }])
      expect(aPeer().hears(header, other)).toBeUndefined();
  });

  it('is not believed when anything of it is changed, or it is something else', () => {
    const header = aPeer().peers.headerFor(asked, caller);
    const forged = header.replace(caller.address, '198.51.100.1');
    const others = [
      forged,
      header.replace('https', 'http'),
      header.slice(0, -1),
      `${header}0`,
      header.slice(2),
      '',
      '1',
    ];
    for (const other of others) expect(aPeer().hears(other)).toBeUndefined();
  });

  it('is refused a second time, and when clocks or the way are half a minute apart', () => {
    const { peers, at, hears } = aPeer();
    const [first, second, third] = [0, 0, 0].map(() => peers.headerFor(asked, caller));
    at(29_000);
    expect(hears(first)).toEqual(caller);
    const refused = expect.objectContaining({ code: 'coordinator/relay-refused' }) as Error;
    expect(() => hears(first)).toThrow(refused);
    at(31_000);
    expect(() => hears(second)).toThrow('31 seconds old');
    at(-31_000);
    expect(() => hears(third)).toThrow(refused);
  });

  it('makes the address that it comes from a peer’s for a minute, and nobody else’s', () => {
    const { peers, at, hears } = aPeer();
    const header = peers.headerFor(asked, caller);
    hears(header.slice(0, -1), {}, '10.0.0.7');
    hears(header);
    expect(['10.0.0.6', '10.0.0.7', caller.address].map((address) => peers.isPeer(address))).toEqual([
      true,
      false,
      false,
    ]);
    at(59_000);
    expect(peers.isPeer('::ffff:10.0.0.6')).toBe(true);
    at(61_000);
    expect(peers.isPeer('10.0.0.6')).toBe(false);
  });
});
