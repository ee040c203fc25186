import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../bytes/hex.js';
import { ProtocolError } from '../errors.js';
import { nodeProvider } from '../node/index.js';
import { seededRandom } from '../node/random.js';
import { pureProvider } from '../primitives/pure.js';
import {
  checkNoneRevoked,
  checkSupersedes,
  nextRevocations,
  readRevocations,
  signRevocations,
  type RevocationList,
} from './revocation.js';
import { certifyMember, type Roster } from './roster.js';

const seed = seededRandom('federation')(32);
const federationKey = toHex(nodeProvider.ed25519.publicKey(seed));
const keyOf = (name: string): string => toHex(nodeProvider.ed25519.publicKey(seededRandom(name)(32)));
const first = nextRevocations(undefined, [keyOf('clinic')]);
const text = signRevocations(nodeProvider, seed, first);

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  return 'accepted';
}
const read = (value: string, key = federationKey): RevocationList => readRevocations(nodeProvider, key, value);

describe('a revocation list', () => {
  it('is read back as it was signed, the same by every provider', () => {
    for (const crypto of [nodeProvider, pureProvider]) {
      expect(signRevocations(crypto, seed, first)).toBe(text);
      expect(readRevocations(crypto, federationKey, text)).toEqual(first);
    }
  });

  it('grows: the next one has the next epoch and every key of the one before, once and in order', () => {
    const next = nextRevocations(first, [keyOf('bank'), keyOf('clinic')]);
    expect(next).toEqual({ version: 1, epoch: 2, revoked: [keyOf('bank'), keyOf('clinic')].sort() });
  });

  it('attack: a list that the federation key did not sign', () => {
    const forged = signRevocations(nodeProvider, seededRandom('coordinator')(32), first);
    expect(codeOf(() => read(forged))).toBe('roster/revocations-invalid');
    expect(codeOf(() => read(text, keyOf('other')))).toBe('roster/revocations-invalid');
    expect(codeOf(() => read(text, 'not a key'))).toBe('roster/revocations-invalid');
  });

  it('has one encoding, and nothing else is read: any changed, cut or extended text is refused', () => {
    expect(codeOf(() => read(`${text} `))).toBe('roster/revocations-invalid');
    expect(codeOf(() => read(JSON.stringify(JSON.parse(text), null, 1)))).toBe('roster/revocations-invalid');
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), fc.nat(3), (at, instead, remove) => {
        const changed = text.slice(0, at) + instead + text.slice(at + remove);
        expect(codeOf(() => read(changed))).toBe(changed === text ? 'accepted' : 'roster/revocations-invalid');
      }),
      { numRuns: 300 },
    );
    fc.assert(fc.property(fc.json(), (json) => codeOf(() => read(json)) === 'roster/revocations-invalid'));
  });

  it.each([
    ['an epoch of 0', { ...first, epoch: 0 }],
    ['half an epoch', { ...first, epoch: 1.5 }],
    ['another version', { ...first, version: 2 }],
    ['a key twice', { ...first, revoked: [keyOf('a'), keyOf('a')] }],
    ['keys out of order', { ...first, revoked: [keyOf('a'), keyOf('b')].sort().reverse() }],
    ['a key that is none', { ...first, revoked: ['ff'] }],
    ['no keys at all', { version: 1, epoch: 1 }],
  ])('with %s is not signed', (_, list) => {
    expect(codeOf(() => signRevocations(nodeProvider, seed, list as RevocationList))).toBe(
      'roster/revocations-invalid',
    );
  });
});

describe('the list that a client remembers', () => {
  const second = nextRevocations(first, [keyOf('bank')]);

  it('is replaced by itself and by a newer one', () => {
    expect(codeOf(() => checkSupersedes(undefined, undefined))).toBe('accepted');
    expect(codeOf(() => checkSupersedes(undefined, second))).toBe('accepted');
    expect(codeOf(() => checkSupersedes(first, first))).toBe('accepted');
    expect(codeOf(() => checkSupersedes(first, second))).toBe('accepted');
  });

  it('attack: an older list, or none, brings a revoked key back', () => {
    expect(codeOf(() => checkSupersedes(second, first))).toBe('roster/revocations-outdated');
    expect(codeOf(() => checkSupersedes(first, undefined))).toBe('roster/revocations-outdated');
  });

  it('attack: a newer list without a key of the older, or two lists of one epoch', () => {
    expect(codeOf(() => checkSupersedes(first, { ...first, epoch: 9, revoked: [] }))).toBe(
      'roster/revocations-outdated',
    );
    expect(codeOf(() => checkSupersedes(first, { ...second, epoch: 1 }))).toBe('roster/revocations-outdated');
  });
});

describe('a roster', () => {
  const roster: Roster = {
    version: 1,
    members: ['bank', 'clinic'].map((name) => ({
      name,
      identity: keyOf(name),
      certificate: certifyMember(nodeProvider, seed, { name, identity: keyOf(name) }),
    })),
  };

  it('attack: a revoked member with a certificate that still verifies', () => {
    expect(codeOf(() => checkNoneRevoked(roster, undefined))).toBe('accepted');
    expect(codeOf(() => checkNoneRevoked(roster, { ...first, revoked: [keyOf('council')] }))).toBe('accepted');
    expect(() => checkNoneRevoked(roster, first)).toThrow('"clinic"');
    expect(codeOf(() => checkNoneRevoked(roster, first))).toBe('roster/revoked-member');
  });
});
