import { describe, expect, it } from 'vitest';
import { createRecoveryCodes, createTotpSecret, recoveryHash, stepOfCode, totpCode, totpUri } from './totp.js';

/** RFC 6238 appendix B, the rows for SHA-1. */
const RFC_SECRET = Buffer.from('12345678901234567890');
const rfcRows = [
  [59, '94287082'],
  [1_111_111_109, '07081804'],
  [1_111_111_111, '14050471'],
  [1_234_567_890, '89005924'],
  [2_000_000_000, '69279037'],
  [20_000_000_000, '65353130'],
] as const;
/** The RFC's secret in base32. */
const SECRET = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ';

describe('one-time codes', () => {
  it.each(rfcRows)('are those of RFC 6238 at %i seconds', (seconds, code) => {
    expect(totpCode(RFC_SECRET, Math.floor(seconds / 30), 8)).toBe(code);
    expect(stepOfCode(SECRET, code.slice(2), seconds * 1000, null)).toBe(Math.floor(seconds / 30));
  });

  it('are taken one step early or late, and no further', () => {
    const step = 37_037_036;
    const at = (steps: number): number | undefined => stepOfCode(SECRET, '081804', (step + steps) * 30_000, null);
    expect([at(-2), at(-1), at(0), at(1), at(2)]).toEqual([undefined, step, step, step, undefined]);
  });

  it('open once: neither the same code nor an older one opens again', () => {
    const at = 59_000;
    expect(stepOfCode(SECRET, '287082', at, 0)).toBe(1);
    expect(stepOfCode(SECRET, '287082', at, 1)).toBeUndefined();
    expect(stepOfCode(SECRET, '287082', at, 2)).toBeUndefined();
  });

  it.each(['', '28708', '2870820', 'abcdef', '287083'])('are not "%s"', (code) => {
    expect(stepOfCode(SECRET, code, 59_000, null)).toBeUndefined();
  });

  it('come from secrets of 160 bits that an authenticator can read', () => {
    const secret = createTotpSecret();
    expect(secret).toMatch(/^[A-Z2-7]{32}$/);
    expect(createTotpSecret()).not.toBe(secret);
    expect(totpUri(SECRET, 'ada.l')).toBe(`otpauth://totp/Fedlora:ada.l?secret=${SECRET}&issuer=Fedlora`);
  });
});

describe('recovery codes', () => {
  it('are ten, of 80 bits each, and known however they are typed', () => {
    const codes = createRecoveryCodes();
    expect(new Set(codes).size).toBe(10);
    for (const code of codes) expect(code).toMatch(/^(?:[a-z2-7]{4}-){3}[a-z2-7]{4}$/);
    expect(recoveryHash(codes[0].toUpperCase().replaceAll('-', ' '))).toBe(recoveryHash(codes[0]));
    expect(recoveryHash(codes[1])).not.toBe(recoveryHash(codes[0]));
  });
});
