/**
 * What a participant's step leaves in memory. Every secret that it makes is watched: random seeds, agreed and derived keys, shares,
 * opened boxes and half-masked words. Each step is made to fail at every one of its calls to the crypto provider, the random source
 * and the identity, and is refused by hostile messages; then all that it made must be zero, and all that it was given intact.
 */

import { describe, expect, it, vi } from 'vitest';
import { isAllZero } from '../../protocol/src/bytes/equal.js';
import { wipe, type Secret } from '../../protocol/src/bytes/secret.js';
import { ProtocolError } from '../../protocol/src/errors.js';
import { nodeProvider, seededRandom } from '../../protocol/src/node/index.js';
import type { CryptoProvider } from '../../protocol/src/primitives/provider.js';
import { planDeliveries, planKeyList } from '../../protocol/src/secagg/aggregator.js';
import {
  advertiseKeysToSign,
  decodeAdvertiseKeys,
  decodeKeyList,
  decodeShareDelivery,
  encodeKeyList,
  encodeShareDelivery,
  encodeSurvivorList,
  encodeSurvivorProof,
  decodeSurvivorProof,
} from '../../protocol/src/secagg/messages.js';
import {
  createAdvertise,
  createMaskedInput,
  handleKeyList,
  handleRevealList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
  secretsIn,
  type ParticipantParts,
  type ParticipantState,
} from '../../protocol/src/secagg/participant.js';
import {
  aCohort,
  collect,
  deal,
  noised,
  prove,
  ready,
  shareKeys,
  showRandomness,
  type Cohort,
} from './secagg-cohort.js';
import { remembering } from '../support/remembering.js';

/** Arrays that held secrets, as they were made. */
const made = vi.hoisted(() => {
  const arrays: { readonly what: string; readonly bytes: ArrayLike<number> }[] = [];
  return {
    arrays,
    note: <Bytes extends ArrayLike<number>>(what: string, bytes: Bytes): Bytes => {
      arrays.push({ what, bytes });
      return bytes;
    },
  };
});

vi.mock('../../protocol/src/primitives/kdf.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../protocol/src/primitives/kdf.js')>();
  const deriveKey: typeof original.deriveKey = (...of) => made.note('derived key', original.deriveKey(...of));
  return { ...original, deriveKey };
});

vi.mock('../../protocol/src/sharing/shamir.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../protocol/src/sharing/shamir.js')>();
  const split: typeof original.split = (...of) => {
    const shares = original.split(...of);
    for (const share of shares) made.note('share', share.bytes);
    return shares;
  };
  return { ...original, split };
});

class Fault extends Error {}

/** A participant's parts, watched; the call with number `failAt` (from 0) fails. */
function watched(parts: ParticipantParts, failAt = Infinity): { parts: ParticipantParts; calls: () => number } {
  let calls = 0;
  // The same in every run: how often a field element is drawn depends on it, and so does the number of calls.
  const source = seededRandom('wiping');
  const may = (): void => {
    if (calls++ === failAt) throw new Fault();
  };
  const random = (length: number): Uint8Array => {
    may();
    const bytes = source(length);
    return length === 24 ? bytes : made.note('random bytes', bytes); // 24 is a nonce, which travels in the open
  };
  const { crypto } = parts;
  const watchedCrypto: CryptoProvider = {
    ...crypto,
    x25519: {
      generateSecret: (from) => crypto.x25519.generateSecret(from),
      publicKey: (secret) => (may(), crypto.x25519.publicKey(secret)),
      sharedSecret: (secret, key) => (may(), made.note('agreed key', crypto.x25519.sharedSecret(secret, key))),
    },
    ed25519: { ...crypto.ed25519, verify: (...of) => (may(), crypto.ed25519.verify(...of)) },
    sha256: (bytes) => {
      may();
      const text = new TextDecoder('latin1').decode(bytes);
      return crypto.sha256(text.includes('share-commitment') ? made.note('framed share', bytes) : bytes);
    },
    seal: (key, nonce, plaintext) => (may(), crypto.seal(key, nonce, made.note('plaintext', plaintext))),
    open: (key, nonce, sealed) => (may(), made.note('opened box', crypto.open(key, nonce, sealed))),
    addMask: (target, seed, sign) => {
      if (calls === failAt) made.note('half-masked words', target);
      may();
      crypto.addMask(target, seed, sign);
    },
  };
  const sign = (message: Uint8Array): Uint8Array => (may(), parts.sign(message));
  return { parts: { crypto: watchedCrypto, random, sign }, calls: () => calls };
}

type Verb = (
  parts: ParticipantParts,
  state: ParticipantState,
) => { state: ParticipantState; consumed: readonly Secret[] };

/** A step of member 0, and the state that it starts from. */
interface Story {
  readonly parts: ParticipantParts;
  readonly state: ParticipantState;
  readonly verb: Verb;
  readonly hostile: Record<string, Verb>;
}

function story(cohort: Cohort, verb: Verb, hostile: Record<string, Verb> = {}): Story {
  const [{ parts, state }] = cohort.members;
  return { parts, state, verb, hostile };
}

const small = (): Cohort => aCohort({ participants: 4, threshold: 3 });
const large = (): Cohort =>
  aCohort({
    participants: 140,
    threshold: 100,
    minContributors: 20,
    assumedColluders: 3,
    graph: { neighbours: 40, threshold: 20, silent: 1 },
    crypto: remembering(nodeProvider),
  });

/** The key list with the keys of the last member bent and signed again, so that a step fails after it made secrets. */
function withLastKeys(cohort: Cohort, field: 'encryptionKey' | 'maskKey'): Uint8Array {
  const keys = cohort.advertised.map(decodeAdvertiseKeys);
  const last = { ...keys[keys.length - 1], sid: cohort.terms.sid, [field]: Uint8Array.of(1, ...new Uint8Array(31)) };
  const signature = cohort.members[keys.length - 1].parts.sign(advertiseKeysToSign(last));
  return encodeKeyList({ sid: cohort.terms.sid, keys: [...keys.slice(0, -1), { ...last, signature }] });
}

const stories: Record<string, () => Story> = {
  createAdvertise: () => {
    const cohort = small();
    return story(cohort, (parts) => createAdvertise(parts, cohort.terms, 0));
  },
  'createAdvertise with a graph': () => {
    const cohort = large();
    return story(cohort, (parts) => createAdvertise(parts, cohort.terms, 0));
  },
  handleKeyList: () => {
    const cohort = small();
    const list = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised));
    const { sid, keys } = decodeKeyList(list);
    const ask =
      (bytes: Uint8Array): Verb =>
      (parts, state) =>
        handleKeyList(parts, state, bytes);
    return story(cohort, ask(list), {
      'an encryption key of small order': ask(withLastKeys(cohort, 'encryptionKey')),
      'a mask key of small order': ask(withLastKeys(cohort, 'maskKey')),
      'a substituted key': ask(
        encodeKeyList({ sid, keys: keys.map((key, i) => (i === 3 ? { ...key, maskKey: new Uint8Array(32) } : key)) }),
      ),
      'too few keys': ask(encodeKeyList({ sid, keys: keys.slice(0, 2) })),
      'another session': ask(encodeKeyList({ sid: new Uint8Array(32), keys })),
      'bytes at the end': ask(new Uint8Array([...list, 0])),
    });
  },
  'handleKeyList with a graph': () => {
    const cohort = large();
    const list = ready(planKeyList(cohort.crypto, cohort.terms, cohort.advertised));
    return story(cohort, (parts, state) => handleKeyList(parts, state, list));
  },
  handleRevealList: () => {
    const cohort = large();
    const { revealList } = showRandomness(cohort);
    return story(cohort, (parts, state) => handleRevealList(parts, state, revealList));
  },
  handleShareDelivery: () => {
    const cohort = small();
    const { keyList, shareMessages } = shareKeys(cohort);
    const bytes = ready(planDeliveries(cohort.crypto, cohort.terms, keyList, shareMessages)).messageFor(0);
    const delivery = decodeShareDelivery(bytes);
    const ask =
      (message: Uint8Array): Verb =>
      (parts, state) =>
        handleShareDelivery(parts, state, message);
    // The last dealer is bent, so that the boxes of those before were opened.
    const last = delivery.dealers[3];
    const bent = (dealer: typeof last): Verb =>
      ask(encodeShareDelivery({ ...delivery, dealers: [...delivery.dealers.slice(0, 3), dealer] }));
    return story(cohort, ask(bytes), {
      'a forged signature': bent({ ...last, signature: new Uint8Array(64) }),
      'another key list': bent({ ...last, keyListHash: new Uint8Array(32) }),
      'an entry that was not signed': bent({
        ...last,
        entry: { ...last.entry, sealed: delivery.dealers[2].entry.sealed },
      }),
      'another receiver': ask(
        encodeShareDelivery({
          ...delivery,
          receiver: 1,
          dealers: delivery.dealers.map((each) => ({ ...each, entry: { ...each.entry, receiver: 1 } })),
        }),
      ),
    });
  },
  createMaskedInput: () => {
    const cohort = small();
    deal(cohort);
    const levels = new Int32Array(64).fill(7);
    return story(cohort, (parts, state) => createMaskedInput(parts, state, noised(levels)), {
      'another length': (parts, state) => createMaskedInput(parts, state, noised(new Int32Array(63))),
    });
  },
  handleSurvivorList: () => {
    const cohort = small();
    const { survivorList } = collect(cohort);
    const { sid } = cohort.terms;
    const ask =
      (bytes: Uint8Array): Verb =>
      (parts, state) =>
        handleSurvivorList(parts, state, bytes);
    return story(cohort, ask(survivorList), {
      'without me': ask(encodeSurvivorList({ sid, survivors: [1, 2, 3] })),
      'too few': ask(encodeSurvivorList({ sid, survivors: [0, 1] })),
    });
  },
  handleSurvivorProof: () => {
    const cohort = small();
    const proof = prove(cohort, collect(cohort));
    const { sid, signatures } = decodeSurvivorProof(proof);
    const ask =
      (bytes: Uint8Array): Verb =>
      (parts, state) =>
        handleSurvivorProof(parts, state, bytes);
    return story(cohort, ask(proof), {
      'too few signatures': ask(encodeSurvivorProof({ sid, signatures: signatures.slice(0, 2) })),
      'a forged signature': ask(
        encodeSurvivorProof({ sid, signatures: signatures.map((one) => ({ ...one, signature: new Uint8Array(64) })) }),
      ),
    });
  },
};

/** What the arrays that hold something else than zeros were. */
function left(except: ReadonlySet<ArrayLike<number>> = new Set()): string[] {
  return made.arrays
    .filter(({ bytes }) => !except.has(bytes) && !isAllZero(Uint8Array.from(bytes, (value) => (value === 0 ? 0 : 1))))
    .map(({ what }) => what);
}

const isIntact = (secrets: readonly Secret[]): boolean => secrets.every((secret) => !secret.isWiped);

describe.each(Object.keys(stories))('%s', (name) => {
  it('leaves nothing of what it made when any call within it fails, and can be asked again', () => {
    const { parts, state, verb } = stories[name]();
    const held = secretsIn(state);
    const counting = watched(parts);
    verb(counting.parts, state);
    const calls = counting.calls();
    expect(calls).toBeGreaterThan(0);
    const stride = Math.ceil(calls / 60); // with a graph there are hundreds, most of them alike
    for (let failAt = 0; failAt < calls; failAt += stride) {
      made.arrays.length = 0;
      expect(() => verb(watched(parts, failAt).parts, state), `call ${failAt}`).toThrow(Fault);
      expect(left(), `call ${failAt}`).toEqual([]);
      expect(isIntact(held)).toBe(true);
    }
    expect(() => verb(parts, state)).not.toThrow();
  });

  it('leaves, when it succeeds, only what its new state holds; what it let go of is in `consumed`', () => {
    const { parts, state, verb } = stories[name]();
    const before = secretsIn(state);
    made.arrays.length = 0;
    const step = verb(watched(parts).parts, state);
    const after = secretsIn(step.state);
    expect(left(new Set(after.map((secret) => secret.reveal())))).toEqual([]);
    if (name.startsWith('createAdvertise')) expect(step.consumed).toEqual([]);
    else expect(before.every((secret) => after.includes(secret) !== step.consumed.includes(secret))).toBe(true);
    wipe([...step.consumed, ...after]);
    expect(left()).toEqual([]);
    if (!name.startsWith('createAdvertise')) expect(before.every((secret) => secret.isWiped)).toBe(true);
  });
});

describe.each([
  'handleKeyList',
  'handleShareDelivery',
  'createMaskedInput',
  'handleSurvivorList',
  'handleSurvivorProof',
])('%s', (name) => {
  it('leaves nothing when it refuses a hostile message', () => {
    const { parts, state, hostile } = stories[name]();
    expect(Object.keys(hostile).length).toBeGreaterThan(0);
    for (const [attack, verb] of Object.entries(hostile)) {
      made.arrays.length = 0;
      expect(() => verb(watched(parts).parts, state), attack).toThrow(ProtocolError);
      expect(left(), attack).toEqual([]);
      expect(isIntact(secretsIn(state)), attack).toBe(true);
    }
  });
});

describe('the watching itself', () => {
  it('sees what a step that forgets to wipe would leave', () => {
    const { parts, state } = stories.handleKeyList();
    made.arrays.length = 0;
    const { crypto } = watched(parts).parts;
    if (state.phase !== 'advertised') throw new Error('unexpected phase');
    crypto.x25519.sharedSecret(state.encryptionSecret.reveal(), crypto.x25519.publicKey(parts.random(32)));
    expect(left()).toEqual(['agreed key']);
  });

  it('sees secrets of every kind that a round makes', () => {
    const kinds = new Set<string>();
    for (const tell of [stories.handleKeyList, stories.handleShareDelivery, stories.createMaskedInput]) {
      const { parts, state, verb } = tell();
      made.arrays.length = 0;
      verb(watched(parts).parts, state);
      for (const { what } of made.arrays) kinds.add(what);
    }
    expect([...kinds].sort()).toEqual([
      'agreed key',
      'derived key',
      'framed share',
      'opened box',
      'plaintext',
      'random bytes',
      'share',
    ]);
  });
});
