import type { Readable } from 'node:stream';

/** A half-open connection never ends by itself, and would keep its organisation from uploading anew. */
const LONGEST_SILENCE_MS = 15_000;

/** The bytes of a request. One from which nothing comes for a while is destroyed; the time that a reader takes does not count. */
export async function* whileBytesCome(request: Readable, silenceMs = LONGEST_SILENCE_MS): AsyncGenerator<Uint8Array> {
  const listen = (): NodeJS.Timeout => setTimeout(() => request.destroy(), silenceMs);
  let timer = listen();
  try {
    for await (const chunk of request as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      yield chunk;
      timer = listen();
    }
  } finally {
    clearTimeout(timer);
  }
}
