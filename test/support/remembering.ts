import type { CryptoProvider } from '@fedlora/protocol';

interface Verified {
  readonly message: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly answer: boolean;
}

/** A provider that checks each signature once and remembers the answer: for cohorts whose members all live in this process. */
export function remembering(crypto: CryptoProvider): CryptoProvider {
  const known = new Map<string, Verified>();
  return {
    ...crypto,
    ed25519: {
      ...crypto.ed25519,
      verify: (signature, message, publicKey) => {
        const name = Buffer.from(signature.buffer, signature.byteOffset, signature.byteLength).toString('latin1');
        const before = known.get(name);
        if (before !== undefined && isSame(before.message, message) && isSame(before.publicKey, publicKey))
          return before.answer;
        const answer = crypto.ed25519.verify(signature, message, publicKey);
        // Not `slice`: on a `Buffer` that would share memory with the message.
        known.set(name, { message: new Uint8Array(message), publicKey: new Uint8Array(publicKey), answer });
        return answer;
      },
    },
  };
}

/** `equalBytes` in a tenth of the time, which depends on where they differ: nothing here is secret. */
function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
