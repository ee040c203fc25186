/**
 * Where randomness comes from: always an argument, never a global.
 *
 * In production it is AES-256-CTR keyed from the operating system (`systemRandom` in `@fedlora/protocol/node`);
 * tests pass a seeded one, and so can see every path.
 */

/** Returns `byteLength` fresh bytes that the caller owns and may overwrite. */
export type RandomSource = (byteLength: number) => Uint8Array;
