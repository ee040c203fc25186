/** Decoders against hostile bytes: never anything but a ProtocolError, never a second encoding. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError } from '../errors.js';
import {
  decodeAdvertiseKeys,
  decodeConsistencySignature,
  decodeKeyList,
  decodeMaskedInput,
  decodeRevealList,
  decodeRevealRandomness,
  decodeShareDelivery,
  decodeShareKeys,
  decodeSurvivorList,
  decodeSurvivorProof,
  decodeUnmaskShares,
  encodeAdvertiseKeys,
  encodeConsistencySignature,
  encodeKeyList,
  encodeMaskedInput,
  encodeRevealList,
  encodeRevealRandomness,
  encodeShareDelivery,
  encodeShareKeys,
  encodeSurvivorList,
  encodeSurvivorProof,
  encodeUnmaskShares,
  SEALED_BYTES,
  survivorsHash,
  type ShareDelivery,
} from './messages.js';

const fixed = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const index = fc.nat(127);
const hash = fixed(32);
const signature = fixed(64);
const increasing = <Entry>(entry: fc.Arbitrary<Entry>, key: (entry: Entry) => number) =>
  fc.uniqueArray(entry, { maxLength: 6, selector: key }).map((list) => list.sort((a, b) => key(a) - key(b)));

const keys = fc.record({ sender: index, encryptionKey: hash, maskKey: hash, signature });
const committedKeys = fc.record({
  sender: index,
  encryptionKey: hash,
  maskKey: hash,
  graphCommitment: hash,
  signature,
});
const entry = fc.record({
  receiver: index,
  sealed: fixed(SEALED_BYTES),
  selfMaskCommitment: hash,
  maskKeyCommitment: hash,
});
const deliveredShares = fc.record({
  dealer: index,
  keyListHash: hash,
  seedCommitment: hash,
  entryHashes: fc.array(hash, { maxLength: 4 }),
  entry,
  signature,
});
const unmaskEntry = fc.oneof(
  fc.record({ about: index, kind: fc.constantFrom('self-mask' as const, 'mask-key' as const), share: fixed(33) }),
  fc.record({ about: index, kind: fc.constant('unusable' as const) }),
);

interface Codec {
  readonly name: string;
  readonly encoded: fc.Arbitrary<Uint8Array>;
  readonly message: fc.Arbitrary<unknown>;
  readonly encode: (message: never) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

function codec<Message>(
  name: string,
  message: fc.Arbitrary<Message>,
  encode: (message: Message) => Uint8Array,
  decode: (bytes: Uint8Array) => Message,
): Codec {
  return { name, message, encode, decode, encoded: message.map(encode) };
}

/** A delivery holds entries for its receiver only. */
function toItsReceiver<Delivery extends ShareDelivery>(delivery: Delivery): Delivery {
  const { receiver } = delivery;
  return { ...delivery, dealers: delivery.dealers.map((each) => ({ ...each, entry: { ...each.entry, receiver } })) };
}

const codecs: readonly Codec[] = [
  codec(
    'AdvertiseKeys',
    fc.record({ sid: hash, sender: index, encryptionKey: hash, maskKey: hash, signature }),
    encodeAdvertiseKeys,
    decodeAdvertiseKeys,
  ),
  codec(
    'KeyList',
    fc.record({ sid: hash, keys: increasing(keys, (each) => each.sender) }),
    encodeKeyList,
    decodeKeyList,
  ),
  codec(
    'AdvertiseKeys with a commitment',
    fc.record({ sid: hash, sender: index, encryptionKey: hash, maskKey: hash, graphCommitment: hash, signature }),
    encodeAdvertiseKeys,
    decodeAdvertiseKeys,
  ),
  codec(
    'KeyList with commitments',
    fc
      .record({ sid: hash, keys: increasing(committedKeys, (each) => each.sender) })
      .filter((list) => list.keys.length > 0),
    encodeKeyList,
    decodeKeyList,
  ),
  codec(
    'RevealRandomness',
    fc.record({ sid: hash, sender: index, keyListHash: hash, randomness: hash, signature }),
    encodeRevealRandomness,
    decodeRevealRandomness,
  ),
  codec(
    'RevealList',
    fc.record({
      sid: hash,
      revealed: increasing(fc.record({ sender: index, randomness: hash, signature }), (each) => each.sender),
    }),
    encodeRevealList,
    decodeRevealList,
  ),
  codec(
    'ShareKeys',
    fc.record({
      sid: hash,
      sender: index,
      keyListHash: hash,
      seedCommitment: hash,
      entries: increasing(entry, (each) => each.receiver),
      signature,
    }),
    encodeShareKeys,
    decodeShareKeys,
  ),
  codec(
    'ShareDelivery',
    fc
      .record({
        sid: hash,
        receiver: index,
        dealers: increasing(deliveredShares, (each) => each.dealer),
      })
      .map(toItsReceiver),
    encodeShareDelivery,
    decodeShareDelivery,
  ),
  codec(
    'ShareDelivery with a graph',
    fc
      .record({
        sid: hash,
        receiver: index,
        sharers: increasing(index, (each) => each),
        dealers: increasing(deliveredShares, (each) => each.dealer),
      })
      .map(toItsReceiver),
    encodeShareDelivery,
    decodeShareDelivery,
  ),
  codec(
    'MaskedInput',
    fc.record({ sid: hash, sender: index, wordsHash: hash, length: fc.nat(2 ** 30), signature }),
    encodeMaskedInput,
    decodeMaskedInput,
  ),
  codec(
    'SurvivorList',
    fc.record({ sid: hash, survivors: increasing(index, (each) => each) }),
    encodeSurvivorList,
    decodeSurvivorList,
  ),
  codec(
    'ConsistencySignature',
    fc.record({ sid: hash, sender: index, survivorsHash: hash, signature }),
    encodeConsistencySignature,
    decodeConsistencySignature,
  ),
  codec(
    'SurvivorProof',
    fc.record({ sid: hash, signatures: increasing(fc.record({ signer: index, signature }), (each) => each.signer) }),
    encodeSurvivorProof,
    decodeSurvivorProof,
  ),
  codec(
    'UnmaskShares',
    fc.record({ sid: hash, sender: index, entries: increasing(unmaskEntry, (each) => each.about), signature }),
    encodeUnmaskShares,
    decodeUnmaskShares,
  ),
];

/** The message, or undefined if it was refused as it should be. */
function decodeOrRefuse({ decode }: Codec, bytes: Uint8Array): unknown {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof ProtocolError && error.code.startsWith('codec/')) return undefined;
    throw error;
  }
}

for (const one of codecs) {
  describe(one.name, () => {
    it('round-trips', () => {
      fc.assert(
        fc.property(one.message, (message) => {
          expect(one.decode(one.encode(message as never))).toEqual(message);
        }),
        { numRuns: 50 },
      );
    });

    it('is refused when any bytes are missing or added', () => {
      fc.assert(
        fc.property(one.encoded, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 40 }), (bytes, cut, extra) => {
          expect(decodeOrRefuse(one, bytes.slice(0, cut % bytes.length))).toBeUndefined();
          expect(decodeOrRefuse(one, new Uint8Array([...bytes, ...extra]))).toBeUndefined();
        }),
        { numRuns: 100 },
      );
    });

    it('with any bit changed is refused or is another message, never the same one written differently', () => {
      fc.assert(
        fc.property(one.encoded, fc.nat(), (bytes, bit) => {
          const bent = bytes.slice();
          bent[(bit >> 3) % bent.length] ^= 1 << (bit & 7);
          const decoded = decodeOrRefuse(one, bent);
          if (decoded !== undefined) expect(one.encode(decoded as never)).toEqual(bent);
        }),
        { numRuns: 200 },
      );
    });

    it('is not taken for another kind of message', () => {
      fc.assert(
        fc.property(one.encoded, (bytes) => {
          for (const other of codecs)
            if (other.decode !== one.decode) expect(decodeOrRefuse(other, bytes)).toBeUndefined();
        }),
        { numRuns: 10 },
      );
    });

    it('survives any bytes at all after its header', () => {
      fc.assert(
        fc.property(one.encoded, fc.uint8Array({ maxLength: 600 }), (bytes, noise) => {
          const header = bytes.subarray(0, 36);
          const decoded = decodeOrRefuse(one, new Uint8Array([...header, ...noise]));
          if (decoded !== undefined) expect(one.encode(decoded as never).length).toBe(36 + noise.length);
        }),
        { numRuns: 200 },
      );
    });
  });
}

describe('survivorsHash', () => {
  it('tells apart a participant who moves from one list to the next', () => {
    const sid = new Uint8Array(32);
    const view = { sid, keyListHash: sid, sharers: [0, 1, 2], survivors: [0, 1] };
    expect(survivorsHash(view)).not.toEqual(survivorsHash({ ...view, sharers: [0, 1], survivors: [0, 1, 2] }));
    expect(survivorsHash(view)).not.toEqual(survivorsHash({ ...view, sharers: [0, 1, 2, 0], survivors: [1] }));
  });
});
