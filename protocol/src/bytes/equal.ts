/** Comparison of bytes whose running time does not depend on where they differ. */

/**
 * Whether two byte strings are equal.
 *
 * Guarantee  the time depends on the lengths only, as far as a just-in-time compiler allows; lengths are not secret.
 */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i];
  return difference === 0;
}

/** Whether all bytes are zero, in time that depends on the length only. */
export function isAllZero(bytes: Uint8Array): boolean {
  let any = 0;
  for (let i = 0; i < bytes.length; i++) any |= bytes[i];
  return any === 0;
}
