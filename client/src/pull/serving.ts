/** Requests to a server that answers with an adapter, and commands about it. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { FedloraError } from '@fedlora/shared';

/** A server that does not answer for so long is in trouble. */
const TIMEOUT_MS = 120_000;

export interface ServingRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

/** What it answers in JSON; `undefined` for what is none. @throws FedloraError pull/not-loaded: there is none, or a refusal, which `details.status` has */
export async function askServing(server: string, url: string, request: ServingRequest): Promise<unknown> {
  const { method, path, headers, body, signal } = request;
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  let response: Response;
  try {
    response = await fetch(`${url.replace(/\/+$/, '')}${path}`, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new FedloraError('pull/not-loaded', `${server} at ${url} does not answer.`, { cause });
  }
  const said = await response.text().catch(() => '');
  if (response.ok) return parsed(said);
  const { status } = response;
  throw new FedloraError('pull/not-loaded', `${server} at ${url} answered ${status}: ${said.slice(0, 500)}`, {
    details: { status },
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // vLLM answers some requests in words.
  }
}

/** Runs a command of the shell in `environment`, with what it is told. @throws FedloraError pull/not-loaded: it failed */
export async function runTold(
  command: string,
  environment: NodeJS.ProcessEnv,
  told: Readonly<Record<string, string>>,
): Promise<void> {
  const child = spawn(command, { shell: true, stdio: 'inherit', env: { ...environment, ...told } });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new FedloraError('pull/not-loaded', `The command ended with ${code ?? signal}.`);
}
