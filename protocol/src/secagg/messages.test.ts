/** Decoders against hostile bytes: never anything but a ProtocolError, never a second encoding. More of it in test/fuzz. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { codecs, type Codec } from '../../../test/fuzz/secagg-messages.js';
import { ProtocolError } from '../errors.js';
import { survivorsHash } from './messages.js';

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
