/** HTTP to the coordinator: one address, JSON or bytes, failures as errors that say whether to try again. */

import { FedloraError, isErrorCode } from '@fedlora/shared';
import { noAnswer, reasonOf } from './no-answer.js';
import type { OnOutgoing } from './outgoing.js';

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly token?: string;
  readonly signal?: AbortSignal | undefined;
}

/** Nothing we ask for takes longer to begin its answer. */
const TIMEOUT_MS = 60_000;
/** Bytes of an answer in JSON. */
const LONGEST_ANSWER = 1 << 20;

export class Http {
  constructor(
    readonly baseUrl: string,
    private readonly onOutgoing?: OnOutgoing,
  ) {}

  /** The response, whatever its status. @throws FedloraError connection/unreachable: there was no answer */
  async send(request: HttpRequest): Promise<Response> {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    this.onOutgoing?.({
      channel: 'http',
      name: `${request.method} ${request.path}`,
      headers: request.headers ?? {},
      body: typeof request.body === 'string' ? Buffer.from(request.body) : (request.body ?? new Uint8Array(0)),
    });
    try {
      return await fetch(this.baseUrl + request.path, {
        method: request.method,
        redirect: 'error',
        headers: {
          ...request.headers,
          ...(request.token === undefined ? {} : { authorization: `Bearer ${request.token}` }),
        },
        ...(request.body === undefined ? {} : { body: request.body as BodyInit }),
        signal: request.signal === undefined ? timeout : AbortSignal.any([request.signal, timeout]),
      });
    } catch (cause) {
      request.signal?.throwIfAborted();
      throw noAnswer(this.baseUrl, cause);
    }
  }

  /** Posts JSON and reads JSON. @throws FedloraError connection/unreachable | connection/refused */
  async post<Answer>(path: string, body: object): Promise<Answer> {
    const response = await this.postJson(path, body);
    const text = Buffer.from(await readAtMost(response, LONGEST_ANSWER)).toString('utf8');
    try {
      return JSON.parse(text) as Answer;
    } catch (cause) {
      throw new FedloraError('connection/bad-answer', undefined, { cause });
    }
  }

  /** Posts JSON that asks for no answer. @throws FedloraError connection/unreachable | connection/refused */
  async tell(path: string, body: object): Promise<void> {
    await (await this.postJson(path, body)).body?.cancel();
  }

  private async postJson(path: string, body: object): Promise<Response> {
    const response = await this.send({
      method: 'POST',
      path,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

/** Whether the same request may have another answer in a while: there was none, or the coordinator is in trouble or busy. */
export function mayRetry(error: unknown): boolean {
  if (!(error instanceof FedloraError)) return false;
  if (error.code === 'connection/unreachable') return true;
  const status = error.details.status;
  return typeof status === 'number' && (status >= 500 || status === 429 || status === 408);
}

/** What an unwelcome answer (problem+json, RFC 9457) means, with the coordinator's own code where it gave one. */
export async function refusal(response: Response): Promise<FedloraError> {
  const text = (await response.text().catch(() => '')).slice(0, 2000);
  let said = '';
  let peerCode: string | undefined;
  try {
    const body = JSON.parse(text) as {
      code?: unknown;
      detail?: unknown;
    };
    if (typeof body.code === 'string') peerCode = body.code;
    if (typeof body.detail === 'string') said = body.detail;
  } catch {
    // Not JSON: a proxy's page, most likely. The status says enough.
  }
  const reason = said === '' ? '' : ` (${said.slice(0, 500)})`;
  // A code of the catalogue brings its own remedy.
  const code = peerCode !== undefined && isErrorCode(peerCode) ? peerCode : 'connection/refused';
  return new FedloraError(code, `The coordinator answered ${response.status}${reason}.`, {
    details: { status: response.status, ...retryAfter(response) },
  });
}

/** The header Retry-After, where it is in seconds; as a date it depends on two clocks. */
function retryAfter(response: Response): { readonly retryAfterMs?: number } {
  const text = response.headers.get('retry-after') ?? '';
  return /^\d{1,9}$/.test(text) ? { retryAfterMs: 1000 * Number(text) } : {};
}

/**
 * Reads a body of at most `limit` bytes, however long the server says it is.
 *
 * @throws FedloraError version/file-mismatch | connection/unreachable: the connection broke in the middle
 */
export async function readAtMost(response: Response, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  if (response.body !== null) {
    try {
      for await (const piece of response.body as unknown as AsyncIterable<Uint8Array>) {
        length += piece.length;
        if (length > limit) throw new FedloraError('version/file-mismatch', 'A file is longer than its record says.');
        pieces.push(piece);
      }
    } catch (cause) {
      if (cause instanceof FedloraError) throw cause;
      throw new FedloraError('connection/unreachable', `The connection broke in an answer (${reasonOf(cause)}).`, {
        cause,
      });
    }
  }
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
}
