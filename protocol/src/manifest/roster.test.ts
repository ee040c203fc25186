import { describe, expect, it } from 'vitest';
import { toHex } from '../bytes/hex.js';
import { nodeProvider } from '../node/index.js';
import { seededRandom } from '../node/random.js';
import { certifyMember, checkRoster, type Roster } from './roster.js';

const seed = seededRandom('federation')(32);
const federationKey = toHex(nodeProvider.ed25519.publicKey(seed));
const members = ['bank', 'clinic'].map((name) => {
  const identity = toHex(nodeProvider.ed25519.publicKey(seededRandom(name)(32)));
  return { name, identity, certificate: certifyMember(nodeProvider, seed, { name, identity }) };
});
const [bank, clinic] = members;

const check = (roster: unknown): void => checkRoster(nodeProvider, federationKey, roster as Roster);

describe('checkRoster', () => {
  it('accepts members that the federation key certified', () => {
    expect(() => check({ version: 1, members })).not.toThrow();
  });

  it.each([
    ['nothing', null],
    ['a list', []],
    ['no members', { version: 1 }],
    ['members that are no list', { version: 1, members: { length: 1, 0: bank } }],
    ['an empty list', { version: 1, members: [] }],
    ['another version', { version: 2, members }],
    ['a member that is nothing', { version: 1, members: [bank, null] }],
    ['a member without a name', { version: 1, members: [{ ...bank, name: undefined }] }],
    ['a list with a name in it', { version: 1, members: [{ ...bank, name: ['bank'] }] }],
    ['a list with a key in it', { version: 1, members: [{ ...bank, identity: [bank.identity] }] }],
    ['a list with a certificate in it', { version: 1, members: [{ ...bank, certificate: [bank.certificate] }] }],
    ['a certificate of another member', { version: 1, members: [{ ...bank, certificate: clinic.certificate }] }],
    ['a member twice', { version: 1, members: [bank, bank] }],
  ])('attack: %s instead of a roster is roster/invalid, not a crash', (_, roster) => {
    expect(() => check(roster)).toThrowError(expect.objectContaining({ code: 'roster/invalid' }));
  });
});
