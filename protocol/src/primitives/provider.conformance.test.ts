/** All crypto providers give the same bytes and refuse the same input. Known answers: RFC 7748, RFC 8032, SP 800-38A, the GCM paper. */

import { createCipheriv } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../bytes/hex.js';
import { ProtocolError, type ProtocolErrorCode } from '../errors.js';
import { nodeProvider } from '../node/index.js';
import { seededRandom, systemRandom } from '../node/random.js';
import { deriveKey } from './kdf.js';
import { domains } from './domains.js';
import { hashTagged, sha256, tagged } from './hash.js';
import { pureProvider } from './pure.js';

const providers = [pureProvider, nodeProvider];

function refusal(act: () => unknown): ProtocolErrorCode {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
  throw new Error('Nothing was refused.');
}

/** Encodings of points of small order on Curve25519 and its twist, canonical or not: Bernstein, "Curve25519", may-I-use list. */
const SMALL_ORDER_U = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '0100000000000000000000000000000000000000000000000000000000000080',
];

/** Encodings of the points of small order on Ed25519. */
const SMALL_ORDER_A = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  '0000000000000000000000000000000000000000000000000000000000000000',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
];

/** The order of the base point of Ed25519. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

for (const provider of providers) {
  describe(`provider ${provider.name}`, () => {
    const { x25519, ed25519 } = provider;
    const random = seededRandom(provider.name);

    it('agrees on the shared secret of RFC 7748 §6.1', () => {
      const alice = fromHex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a');
      const bob = fromHex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');
      expect(toHex(x25519.publicKey(alice))).toBe('8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
      expect(toHex(x25519.publicKey(bob))).toBe('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
      const shared = '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742';
      expect(toHex(x25519.sharedSecret(alice, x25519.publicKey(bob)))).toBe(shared);
      expect(toHex(x25519.sharedSecret(bob, x25519.publicKey(alice)))).toBe(shared);
    });

    it.each([
      [
        'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
        'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
        'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
      ],
      [
        // The top bit of this u is set, and must be ignored.
        '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
        'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
        '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
      ],
    ])('multiplies as RFC 7748 §5.2: scalar %s', (scalar, u, product) => {
      expect(toHex(x25519.sharedSecret(fromHex(scalar), fromHex(u)))).toBe(product);
    });

    it('multiplies a thousand times over as RFC 7748 §5.2 iterates', () => {
      let [k, u] = [fromHex(`09${'00'.repeat(31)}`), fromHex(`09${'00'.repeat(31)}`)];
      for (let i = 1; i <= 1000; i++) {
        [k, u] = [x25519.sharedSecret(k, u), k];
        if (i === 1) expect(toHex(k)).toBe('422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079');
      }
      expect(toHex(k)).toBe('684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51');
    });

    it('reads a public key that is not canonical as the point that it stands for', () => {
      const secret = random(32);
      const base = toHex(x25519.publicKey(secret));
      const over = fromHex(`f6${'ff'.repeat(30)}7f`); // p + 9, where 9 is the base point
      const signed = fromHex(`09${'00'.repeat(30)}80`); // 9 with the top bit
      for (const key of [over, signed]) expect(toHex(x25519.sharedSecret(secret, key))).toBe(base);
    });

    it('clamps scalars: bits that RFC 7748 sets or clears make no difference', () => {
      const [secret, key] = [random(32), x25519.publicKey(random(32))];
      const other = secret.slice();
      other[0] ^= 7;
      other[31] ^= 0xc0;
      expect(x25519.sharedSecret(other, key)).toEqual(x25519.sharedSecret(secret, key));
    });

    it('refuses every public key of small order', () => {
      for (const key of SMALL_ORDER_U) {
        expect(refusal(() => x25519.sharedSecret(random(32), fromHex(key)))).toBe('crypto/low-order-point');
      }
    });

    it('refuses keys of another length', () => {
      const key = random(32);
      for (const length of [0, 31, 33, 64]) {
        const wrong = random(length);
        expect(refusal(() => x25519.publicKey(wrong))).toBe('crypto/malformed-key');
        expect(refusal(() => x25519.sharedSecret(wrong, key))).toBe('crypto/malformed-key');
        expect(refusal(() => x25519.sharedSecret(key, wrong))).toBe('crypto/malformed-key');
        expect(refusal(() => ed25519.publicKey(wrong))).toBe('crypto/malformed-key');
        expect(refusal(() => ed25519.sign(wrong, key))).toBe('crypto/malformed-key');
        expect(refusal(() => provider.seal(wrong, random(24), key))).toBe('crypto/malformed-key');
        expect(refusal(() => provider.addMask(new Uint32Array(1), wrong, 1))).toBe('crypto/malformed-key');
        expect(ed25519.verify(random(64), key, wrong)).toBe(false);
        expect(ed25519.verify(random(length === 64 ? 65 : length), key, key)).toBe(false);
      }
      expect(refusal(() => provider.seal(key, random(23), key))).toBe('crypto/malformed-key');
    });

    it('signs as RFC 8032 §7.1 test 3', () => {
      const seed = fromHex('c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7');
      const publicKey = ed25519.publicKey(seed);
      expect(toHex(publicKey)).toBe('fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');
      const signature = ed25519.sign(seed, Uint8Array.of(0xaf, 0x82));
      expect(toHex(signature)).toBe(
        '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a',
      );
      expect(ed25519.verify(signature, Uint8Array.of(0xaf, 0x82), publicKey)).toBe(true);
    });

    it.each([
      [
        '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
        'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
        '',
        'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
      ],
      [
        '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
        '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
        '72',
        '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
      ],
    ])('signs as RFC 8032 §7.1: seed %s', (seed, publicKey, message, signature) => {
      expect(toHex(ed25519.publicKey(fromHex(seed)))).toBe(publicKey);
      expect(toHex(ed25519.sign(fromHex(seed), fromHex(message)))).toBe(signature);
      expect(ed25519.verify(fromHex(signature), fromHex(message), fromHex(publicKey))).toBe(true);
    });

    it('refuses S outside 0 to L - 1 in whatever way, R replaced, and the halves swapped', () => {
      const [seed, message] = [random(32), random(20)];
      const key = ed25519.publicKey(seed);
      const good = ed25519.sign(seed, message);
      const withS = (s: bigint): Uint8Array => {
        const bytes = good.slice();
        for (let i = 0; i < 32; i++) bytes[32 + i] = Number((s >> BigInt(8 * i)) & 255n);
        return bytes;
      };
      let s = 0n;
      for (let i = 0; i < 32; i++) s += BigInt(good[32 + i]) << BigInt(8 * i);
      expect(ed25519.verify(withS(s), message, key)).toBe(true);
      for (const bad of [
        0n,
        1n,
        L - 1n,
        L,
        L + 1n,
        L - s,
        s + 2n * L,
        s + 8n * L,
        s | (1n << 253n),
        s | (1n << 255n),
        2n ** 256n - 1n,
      ]) {
        expect(ed25519.verify(withS(bad), message, key)).toBe(false);
      }
      expect(ed25519.verify(new Uint8Array([...good.slice(32), ...good.slice(0, 32)]), message, key)).toBe(false);
      for (const small of SMALL_ORDER_A) {
        expect(ed25519.verify(new Uint8Array([...fromHex(small), ...good.slice(32)]), message, key)).toBe(false);
      }
      expect(ed25519.verify(new Uint8Array(64), message, key)).toBe(false);
    });

    it('refuses a signature with any bit changed, and one for another message or key', () => {
      const seed = ed25519.generateSecret(random);
      const publicKey = ed25519.publicKey(seed);
      const message = random(40);
      const signature = ed25519.sign(seed, message);
      for (let bit = 0; bit < 512; bit += 7) {
        const bent = signature.slice();
        bent[bit >> 3] ^= 1 << (bit & 7);
        expect(ed25519.verify(bent, message, publicKey)).toBe(false);
      }
      expect(ed25519.verify(signature, random(40), publicKey)).toBe(false);
      expect(ed25519.verify(signature, message, ed25519.publicKey(random(32)))).toBe(false);
    });

    it('refuses a malleable signature, whose S is over the group order', () => {
      const seed = random(32);
      const message = random(10);
      const signature = ed25519.sign(seed, message);
      let s = L;
      for (let i = 0; i < 32; i++) s += BigInt(signature[32 + i]) << BigInt(8 * i);
      const malleable = signature.slice();
      for (let i = 0; i < 32; i++) malleable[32 + i] = Number((s >> BigInt(8 * i)) & 255n);
      expect(ed25519.verify(malleable, message, ed25519.publicKey(seed))).toBe(false);
    });

    it('refuses keys of small order, under which one signature fits every message', () => {
      const signature = new Uint8Array(64);
      signature[0] = 1; // R = identity, S = 0
      for (const key of SMALL_ORDER_A) expect(ed25519.verify(signature, random(10), fromHex(key))).toBe(false);
    });

    it('refuses encodings of points that are not canonical', () => {
      const high = (low: number) => fromHex(low.toString(16) + 'ff'.repeat(30) + '7f');
      for (let low = 0xed; low <= 0xff; low++) {
        expect(ed25519.verify(new Uint8Array(64), random(3), high(low))).toBe(false);
        const signature = new Uint8Array(64);
        signature.set(high(low));
        expect(ed25519.verify(signature, random(3), ed25519.publicKey(random(32)))).toBe(false);
      }
    });

    it('seals as the known answer of NaCl (crypto_secretbox, tests/secretbox)', () => {
      const key = fromHex('1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389');
      const nonce = fromHex('69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37');
      const plaintext = fromHex(
        'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705',
      );
      const sealed =
        'f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5';
      expect(toHex(provider.seal(key, nonce, plaintext))).toBe(sealed);
      expect(provider.open(key, nonce, fromHex(sealed))).toEqual(plaintext);
    });

    it('opens a box neither cut, extended, under another nonce nor with its tag replaced; an empty one it does open', () => {
      const [key, nonce] = [random(32), random(24)];
      const sealed = provider.seal(key, nonce, random(50));
      const other = nonce.slice();
      other[23] ^= 1;
      for (let length = 0; length < sealed.length; length++) {
        expect(refusal(() => provider.open(key, nonce, sealed.slice(0, length)))).toBe('crypto/cannot-open');
      }
      const bad = [new Uint8Array([...sealed, 0]), new Uint8Array([...new Uint8Array(16), ...sealed.slice(16)])];
      for (const box of bad) expect(refusal(() => provider.open(key, nonce, box))).toBe('crypto/cannot-open');
      expect(refusal(() => provider.open(key, other, sealed))).toBe('crypto/cannot-open');
      expect(provider.open(key, nonce, provider.seal(key, nonce, new Uint8Array(0)))).toHaveLength(0);
    });

    it('opens what it sealed and nothing else', () => {
      const [key, nonce, plaintext] = [random(32), random(24), random(100)];
      const sealed = provider.seal(key, nonce, plaintext);
      expect(sealed.length).toBe(plaintext.length + 16);
      expect(provider.open(key, nonce, sealed)).toEqual(plaintext);
      for (let i = 0; i < sealed.length; i += 5) {
        const bent = sealed.slice();
        bent[i] ^= 1;
        expect(refusal(() => provider.open(key, nonce, bent))).toBe('crypto/cannot-open');
      }
      expect(refusal(() => provider.open(random(32), nonce, sealed))).toBe('crypto/cannot-open');
      expect(refusal(() => provider.open(key, nonce, new Uint8Array(5)))).toBe('crypto/cannot-open');
    });

    it.each([
      ['13', '', ''],
      ['14', '00000000000000000000000000000000', 'cea7403d4d606b6e074ec5d3baf39d18'],
      [
        '15',
        'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255',
        '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad',
      ],
    ])('seals with AES-256-GCM as test case %s of McGrew and Viega', (name, text, ciphertext) => {
      const isLast = name === '15';
      const key = isLast ? fromHex('feffe9928665731c6d6a8f9467308308'.repeat(2)) : new Uint8Array(32);
      const nonce = isLast ? fromHex('cafebabefacedbaddecaf888') : new Uint8Array(12);
      const tags = {
        '13': '530f8afbc74536b9a963b4f1c4cb738b',
        '14': 'd0d1c8a799996bf0265b98b5d48ab919',
        '15': 'b094dac5d93471bdec1a502270e3cc6c',
      };
      const sealed = ciphertext + tags[name as keyof typeof tags];
      expect(toHex(provider.aesGcm.seal(key, nonce, fromHex(text)))).toBe(sealed);
      expect(toHex(provider.aesGcm.open(key, nonce, fromHex(sealed)))).toBe(text);
    });

    it('opens with AES-256-GCM neither a tag cut short, with any bit flipped or replaced, nor a text that changed', () => {
      const { aesGcm } = provider;
      const [key, nonce] = [random(32), random(12)];
      const sealed = aesGcm.seal(key, nonce, random(40));
      for (let length = 0; length < sealed.length; length++) {
        expect(
          refusal(() => aesGcm.open(key, nonce, sealed.slice(0, length))),
          `cut to ${length}`,
        ).toBe('crypto/cannot-open');
      }
      for (let bit = 0; bit < 8 * sealed.length; bit++) {
        const bent = sealed.slice();
        bent[bit >> 3] ^= 1 << (bit & 7);
        expect(
          refusal(() => aesGcm.open(key, nonce, bent)),
          `bit ${bit}`,
        ).toBe('crypto/cannot-open');
      }
      for (const byte of [0, 0xff]) {
        const bent = sealed.slice();
        bent.fill(byte, 40);
        expect(
          refusal(() => aesGcm.open(key, nonce, bent)),
          `tag of ${byte}`,
        ).toBe('crypto/cannot-open');
      }
      expect(refusal(() => aesGcm.open(random(32), nonce, sealed))).toBe('crypto/cannot-open');
      expect(refusal(() => aesGcm.open(key, random(12), sealed))).toBe('crypto/cannot-open');
    });

    it('takes for AES-256-GCM neither a key nor a nonce of another length, 16 and 8 bytes not either', () => {
      const { aesGcm } = provider;
      for (const key of [0, 16, 24, 31, 33]) {
        expect(refusal(() => aesGcm.seal(random(key), random(12), random(1)))).toBe('crypto/malformed-key');
      }
      for (const nonce of [0, 8, 11, 13, 16]) {
        expect(refusal(() => aesGcm.seal(random(32), random(nonce), random(1)))).toBe('crypto/malformed-key');
        expect(refusal(() => aesGcm.open(random(32), random(nonce), random(20)))).toBe('crypto/malformed-key');
      }
    });

    it('expands a mask to the AES-256-CTR keystream from counter zero, as little-endian words', () => {
      const seed = random(32);
      const length = 40_000; // more than two chunks
      const stream = createCipheriv('aes-256-ctr', seed, Buffer.alloc(16)).update(Buffer.alloc(4 * length));
      const expected = Uint32Array.from({ length }, (_, i) => stream.readUInt32LE(4 * i));
      const target = new Uint32Array(length);
      provider.addMask(target, seed, 1);
      expect(target).toEqual(expected);
      provider.addMask(target, seed, -1);
      expect(target.every((word) => word === 0)).toBe(true);
    });

    it('expands a part of a mask like the same part of the whole', () => {
      const seed = random(32);
      const whole = new Uint32Array(40_000);
      provider.addMask(whole, seed, -1);
      for (const [from, length] of [
        [0, 0],
        [1, 1],
        [3, 5],
        [4, 4],
        [16_383, 2],
        [16_385, 20_001],
        [39_999, 1],
      ]) {
        const part = new Uint32Array(length);
        provider.addMask(part, seed, -1, from);
        expect(part).toEqual(whole.slice(from, from + length));
      }
      const far = new Uint32Array(2);
      provider.addMask(far, seed, 1, 2 ** 34 + 1); // beyond 2^32 blocks of counter
      const again = new Uint32Array(2);
      pureProvider.addMask(again, seed, 1, 2 ** 34 + 1);
      expect(far).toEqual(again);
      expect(refusal(() => provider.addMask(far, seed, 1, -1))).toBe('update/wrong-length');
    });

    it('adds masks into a view that does not start at the beginning of its buffer', () => {
      const seed = random(32);
      const buffer = new Uint32Array(12).fill(7);
      provider.addMask(buffer.subarray(5, 9), seed, 1);
      const mask = new Uint32Array(4);
      pureProvider.addMask(mask, seed, 1);
      expect(buffer.subarray(5, 9)).toEqual(mask.map((word) => word + 7));
      expect([...buffer.subarray(0, 5), ...buffer.subarray(9)].every((word) => word === 7)).toBe(true);
    });
  });
}

describe('verification of bytes in a Node Buffer, whose slice shares memory', () => {
  it.each([pureProvider, nodeProvider])('leaves the signature and the key as they were: $name', (crypto) => {
    // A seed whose public key and signature have their sign bits set, so that clearing one would show.
    for (let first = 0; first < 64; first++) {
      const seed = new Uint8Array(32).fill(first);
      const key = Buffer.from(crypto.ed25519.publicKey(seed));
      const message = Buffer.from('message');
      const signature = Buffer.from(crypto.ed25519.sign(seed, message));
      const before = [key.toString('hex'), signature.toString('hex')];
      expect(crypto.ed25519.verify(signature, message, key)).toBe(true);
      expect([key.toString('hex'), signature.toString('hex')]).toEqual(before);
    }
  });
});

describe('providers together', () => {
  const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });

  it('derive the same public keys, shared secrets and signatures', () => {
    fc.assert(
      fc.property(bytes32, bytes32, fc.uint8Array({ maxLength: 200 }), (mine, theirs, message) => {
        const [first, ...others] = providers.map(({ x25519, ed25519, sha256: hash }) => {
          const publicKey = ed25519.publicKey(mine);
          const signature = ed25519.sign(mine, message);
          return [
            x25519.publicKey(mine),
            x25519.sharedSecret(mine, x25519.publicKey(theirs)),
            publicKey,
            signature,
            hash(message),
            ...providers.map((other) => Number(other.ed25519.verify(signature, message, publicKey))),
          ];
        });
        for (const other of others) expect(other).toEqual(first);
        expect(first.slice(5)).toEqual(providers.map(() => 1));
      }),
      { numRuns: 20 },
    );
  });

  it('seal the same boxes and add the same masks', () => {
    const bytes24 = fc.uint8Array({ minLength: 24, maxLength: 24 });
    fc.assert(
      fc.property(
        bytes32,
        bytes24,
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(2 ** 33),
        (key, nonce, text, firstWord) => {
          const [first, ...others] = providers.map((provider) => {
            const words = new Uint32Array(text.length).fill(5);
            provider.addMask(words, key, -1, firstWord);
            const atRest = provider.aesGcm.seal(key, nonce.subarray(0, 12), text);
            return [toHex(provider.seal(key, nonce, text)), toHex(atRest), words.join()];
          });
          for (const other of others) expect(other).toEqual(first);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('reach the same verdict on any public key', () => {
    fc.assert(
      fc.property(bytes32, bytes32, (secret, point) => {
        const results = providers.map(({ x25519 }) => toHex(x25519.sharedSecret(secret, point)));
        expect(new Set(results).size).toBe(1);
      }),
      { numRuns: 20 },
    );
  });
});

describe('hashing and derivation', () => {
  it('frame parts so that none can leak into its neighbour', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 4 })), fc.array(fc.uint8Array({ maxLength: 4 })), (a, b) => {
        const same = a.length === b.length && a.every((part, i) => toHex(part) === toHex(b[i]));
        return (toHex(tagged(domains.session, ...a)) === toHex(tagged(domains.session, ...b))) === same;
      }),
    );
    expect(hashTagged(domains.session)).toEqual(sha256(tagged(domains.session)));
  });

  it('has no domain tag twice', () => {
    expect(new Set(Object.values(domains)).size).toBe(Object.keys(domains).length);
  });

  it('derives with HKDF-SHA-256 of RFC 5869', async () => {
    const { hkdfSync } = await import('node:crypto');
    const [secret, sid] = [seededRandom('s')(32), seededRandom('salt')(32)];
    const info = tagged(domains.selfMask, Uint8Array.of(0, 1));
    expect(deriveKey(secret, sid, domains.selfMask, Uint8Array.of(0, 1))).toEqual(
      new Uint8Array(hkdfSync('sha256', secret, sid, info, 32)),
    );
  });
});

describe('random sources', () => {
  it('from the same seed give the same bytes, however they are asked for', () => {
    const whole = seededRandom(1)(1000);
    const parts = seededRandom(1);
    expect(new Uint8Array([...parts(1), ...parts(299), ...parts(0), ...parts(700)])).toEqual(whole);
    expect(seededRandom(2)(32)).not.toEqual(whole.slice(0, 32));
  });

  it('of the system differ from each other and give bytes that the caller owns', () => {
    const random = systemRandom();
    const large = random(200_000);
    const before = large.slice();
    large.fill(0);
    expect(random(200_000)).not.toEqual(before);
    expect(random(65_536).length).toBe(65_536);
    expect(systemRandom()(32)).not.toEqual(systemRandom()(32));
  });

  it('give each byte value about equally often (chi-square, 255 degrees of freedom, false alarm 2e-4, fixed seed)', () => {
    const counts = new Array<number>(256).fill(0);
    for (const byte of seededRandom('uniform')(256 * 1000)) counts[byte]++;
    const statistic = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(statistic).toBeGreaterThan(170);
    expect(statistic).toBeLessThan(348);
  });
});
