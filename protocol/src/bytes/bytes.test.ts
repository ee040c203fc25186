import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProtocolError, type ProtocolErrorCode } from '../errors.js';
import { canonicalJson, parseCanonicalJson } from './canonical-json.js';
import { equalBytes, isAllZero } from './equal.js';
import { fromHex, toHex } from './hex.js';
import { Reader } from './reader.js';
import { Secret, wipe } from './secret.js';
import { utf8 } from './utf8.js';
import { Writer } from './writer.js';

function refusal(act: () => unknown): { code: ProtocolErrorCode; offset: unknown } {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) return { code: error.code, offset: error.details['offset'] };
    throw error;
  }
  throw new Error('Nothing was refused.');
}

describe('Writer and Reader', () => {
  it('round-trip integers big-endian, fixed and prefixed fields', () => {
    const bytes = new Writer().u8(1).u16(0x0203).u32(0xfffefdfc).fixed(Uint8Array.of(9, 8), 2).prefixed(utf8('hi'));
    expect(toHex(bytes.finish())).toBe('010203fffefdfc0908000000026869');
    const reader = new Reader(bytes.finish());
    expect([reader.u8(), reader.u16(), reader.u32()]).toEqual([1, 0x0203, 0xfffefdfc]);
    expect(reader.fixed(2)).toEqual(Uint8Array.of(9, 8));
    expect(reader.prefixed(2)).toEqual(utf8('hi'));
    reader.end();
  });

  it('refuse integers that do not fit, and fields of another length', () => {
    for (const value of [-1, 256, 1.5, NaN]) expect(refusal(() => new Writer().u8(value)).code).toBe('codec/malformed');
    expect(refusal(() => new Writer().fixed(new Uint8Array(3), 4)).code).toBe('codec/malformed');
  });

  it('say at which byte a message is wrong', () => {
    const reader = new Reader(Uint8Array.of(0, 0, 0, 9, 1));
    expect(refusal(() => reader.prefixed(100))).toEqual({ code: 'codec/malformed', offset: 4 });
    expect(refusal(() => new Reader(Uint8Array.of(255, 255, 255, 255)).prefixed(100))).toEqual({
      code: 'codec/too-long',
      offset: 0,
    });
    expect(refusal(() => new Reader(Uint8Array.of(1)).end())).toEqual({ code: 'codec/trailing-bytes', offset: 0 });
    expect(refusal(() => new Reader(Uint8Array.of(0, 5, 1)).count(4, 1)).code).toBe('codec/too-long');
    expect(refusal(() => new Reader(Uint8Array.of(0, 3, 1)).count(4, 1)).code).toBe('codec/malformed');
  });

  it('return copies, so that changing the message later changes nothing', () => {
    const message = Uint8Array.of(1, 2);
    const field = new Reader(message).fixed(2);
    message[0] = 9;
    expect(field).toEqual(Uint8Array.of(1, 2));
  });
});

describe('a message in a Node Buffer, whose slice shares memory', () => {
  it('is copied field by field, so that changing it later changes no field', () => {
    const message = Buffer.from([1, 2, 3, 4]);
    const field = new Reader(message).fixed(4);
    message.fill(0);
    expect([...field]).toEqual([1, 2, 3, 4]);
  });
});

describe('hex', () => {
  it('round-trips any bytes and refuses upper case, odd lengths and other characters', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => equalBytes(fromHex(toHex(bytes)), bytes)));
    for (const text of ['A0', 'abc', '0g', ' 0']) expect(refusal(() => fromHex(text)).code).toBe('codec/malformed');
  });
});

describe('utf8', () => {
  it('equals TextEncoder for every well-formed text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => equalBytes(utf8(text), new TextEncoder().encode(text))),
    );
  });

  it('refuses half of a surrogate pair', () => {
    for (const text of ['\ud800', '\udc00', 'a\ud800b', '\udc00\ud800']) {
      expect(refusal(() => utf8(text)).code).toBe('codec/malformed');
    }
  });
});

describe('equalBytes', () => {
  it('compares content and length', () => {
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(equalBytes(Uint8Array.of(1), Uint8Array.of(1, 0))).toBe(false);
    expect([isAllZero(new Uint8Array(9)), isAllZero(Uint8Array.of(0, 4))]).toEqual([true, false]);
  });
});

describe('Secret', () => {
  it('prints as [secret] wherever it is printed', () => {
    const secret = new Secret(Uint8Array.of(7, 7, 7));
    expect(`${String(secret)} ${JSON.stringify({ secret })} ${inspect({ secret })}`).toBe(
      '[secret] {"secret":"[secret]"} { secret: [secret] }',
    );
  });

  it('is zero after wiping and refuses to be used', () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const secret = new Secret(bytes);
    wipe([secret, secret]);
    expect([isAllZero(bytes), secret.isWiped]).toEqual([true, true]);
    expect(refusal(() => secret.reveal()).code).toBe('secret/wiped');
  });
});

describe('canonicalJson', () => {
  const print = (value: unknown) => Buffer.from(canonicalJson(value)).toString();

  it('sorts keys by UTF-16 code unit and writes no white space (RFC 8785 §3.2.3)', () => {
    const value = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\u{1f600}': 5, '\x80': 6, '\u00f6': 7 };
    expect(print(value)).toBe('{"\\r":2,"1":4,"\x80":6,"\u00f6":7,"\u20ac":1,"\u{1f600}":5,"\ufb33":3}');
    expect(print({ b: [1, { d: null, c: true }], a: 'x' })).toBe('{"a":"x","b":[1,{"c":true,"d":null}]}');
  });

  it('writes numbers as ECMAScript does (RFC 8785 appendix B)', () => {
    expect(print([1e21, 333333333.3333333, 4.5, 2e-3, 1e-27, 5e-324])).toBe(
      '[1e+21,333333333.3333333,4.5,0.002,1e-27,5e-324]',
    );
  });

  it('refuses what JSON cannot carry, naming the place', () => {
    for (const bad of [
      undefined,
      NaN,
      Infinity,
      -0,
      1n,
      () => 1,
      Symbol('s'),
      new Date(0),
      new Map(),
      new Uint8Array(1),
    ]) {
      expect(() => canonicalJson({ a: [1, bad] })).toThrow(/\$\.a\[1\]/);
    }
    // eslint-disable-next-line no-sparse-arrays
    expect(refusal(() => canonicalJson([1, , 2])).code).toBe('codec/malformed');
    expect(refusal(() => canonicalJson({ a: '\ud800' })).code).toBe('codec/malformed');
    const deep: unknown[] = [];
    deep.push(deep);
    expect(refusal(() => canonicalJson(deep)).code).toBe('codec/malformed');
  });

  it('is read back in this one spelling only', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        let text: string;
        try {
          text = print(value);
        } catch {
          return; // a lone surrogate or -0
        }
        expect(print(parseCanonicalJson(text))).toBe(text);
      }),
    );
    for (const other of [
      '{"a":1,"a":1}',
      '{"b":1,"a":2}',
      '[1.0]',
      '[1e0]',
      ' 1',
      '"\\u0061"',
      '-0',
      '',
      '{',
      '\ufeff1',
    ]) {
      expect(refusal(() => parseCanonicalJson(other)).code).toBe('codec/malformed');
    }
    expect(refusal(() => parseCanonicalJson('['.repeat(100_000) + ']'.repeat(100_000))).code).toBe('codec/malformed');
  });

  it('does not depend on the order in which fields were added', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.integer()), (fields) => {
        const reversed = Object.fromEntries(Object.entries(fields).reverse());
        return equalBytes(canonicalJson(fields), canonicalJson(reversed));
      }),
    );
  });
});
