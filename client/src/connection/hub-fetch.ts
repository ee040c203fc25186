/**
 * `fetch` for the Hugging Face library, which trusts the server more than we do.
 *
 * Guarantee  The access token goes to the endpoint only, wherever links and listings lead. An answer of the API ends after
 *            MAXIMUM_ANSWER_BYTES.
 */

/** A listing of ten thousand files takes 3 MB. */
const MAXIMUM_ANSWER_BYTES = 32 << 20;

export function hubFetch(endpoint: string, signal: AbortSignal | undefined): typeof fetch {
  const { origin } = new URL(endpoint);
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    if (url.origin !== origin) headers.delete('authorization');
    const response = await fetch(url, { ...init, headers, ...(signal === undefined ? {} : { signal }) });
    return url.pathname.startsWith('/api/') ? limited(response) : response;
  };
}

function limited(response: Response): Response {
  if (response.body === null) return response;
  let length = 0;
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      length += chunk.length;
      if (length > MAXIMUM_ANSWER_BYTES) controller.error(new Error('The answer is too long.'));
      else controller.enqueue(chunk);
    },
  });
  const { status, statusText, headers } = response;
  return new Response(response.body.pipeThrough(limit), { status, statusText, headers });
}
