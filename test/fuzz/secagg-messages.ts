/** Every message of secure aggregation as a codec with a generator: for tests of the decoders against hostile bytes. */

import fc from 'fast-check';
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
  type ShareDelivery,
} from '../../protocol/src/secagg/messages.js';

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

export interface Codec {
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

export const codecs: readonly Codec[] = [
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
