/**
 * One-time codes of an authenticator, and the recovery codes beside them.
 *
 * Source  RFC 6238 (TOTP) over RFC 4226 (HOTP): SHA-1, six digits, steps of 30 seconds, as every authenticator app has them.
 *         Base32 of RFC 4648 without padding.
 */

import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { tokenHash } from '../storage/keys.js';

const STEP_MS = 30_000;
const DIGITS = 6;
/** Steps before and after the present one whose codes are taken: clocks differ, and typing takes time (RFC 6238 section 5.2). */
const DRIFT_STEPS = 1;
/** RFC 4226 section 4: 160 bits. */
const SECRET_BYTES = 20;
const RECOVERY_CODES = 10;
/** 80 bits each. */
const RECOVERY_BYTES = 10;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** A fresh secret, base32. */
export function createTotpSecret(): string {
  return base32(randomBytes(SECRET_BYTES));
}

/** What an authenticator reads as a QR code. */
export function totpUri(secret: string, user: string): string {
  return `otpauth://totp/Fedlora:${encodeURIComponent(user)}?secret=${secret}&issuer=Fedlora`;
}

/** The code of a time step. `digits`: RFC 6238's known answers have eight. */
export function totpCode(secret: Uint8Array, step: number, digits = DIGITS): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', secret).update(counter).digest();
  const offset = mac[mac.length - 1] & 0x0f; // RFC 4226 section 5.3: dynamic truncation
  const value = mac.readUInt32BE(offset) & 0x7fff_ffff;
  return String(value % 10 ** digits).padStart(digits, '0');
}

/** The step whose code this is, if it is one of now and later than `usedStep`: a code opens once. */
export function stepOfCode(secret: string, code: string, now: number, usedStep: number | null): number | undefined {
  const key = fromBase32(secret);
  const present = Math.floor(now / STEP_MS);
  const given = Buffer.from(code);
  let found: number | undefined;
  // All of them each time, so that the time does not tell which matched.
  for (let step = present - DRIFT_STEPS; step <= present + DRIFT_STEPS; step += 1) {
    const right = Buffer.from(totpCode(key, step));
    if (given.length === right.length && timingSafeEqual(given, right) && step > (usedStep ?? -1)) found = step;
  }
  return found;
}

/** Fresh recovery codes, in groups that can be typed. */
export function createRecoveryCodes(): string[] {
  return Array.from({ length: RECOVERY_CODES }, () =>
    (base32(randomBytes(RECOVERY_BYTES)).match(/.{4}/g) ?? []).join('-').toLowerCase(),
  );
}

/** What is stored of a recovery code; however it was typed. */
export function recoveryHash(code: string): string {
  return tokenHash(code.toLowerCase().replaceAll(/[^a-z2-7]/g, ''));
}

function base32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xffff;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(value >> (bits - 5)) & 31];
  }
  return bits === 0 ? text : text + ALPHABET[(value << (5 - bits)) & 31];
}

/** Of what `base32` wrote, or an authenticator was given. */
export function fromBase32(text: string): Uint8Array {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of text) {
    value = ((value << 5) | ALPHABET.indexOf(letter)) & 0xffff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((value >> bits) & 0xff);
    }
  }
  return Uint8Array.from(bytes);
}
