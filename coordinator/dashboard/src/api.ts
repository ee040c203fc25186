/** What the page asks of the coordinator over HTTP: the shared client over `fetch`, with the cookie of the sign-in. */

import type { Overview } from '@fedlora/shared';
import { ApiProblem, OperatorApi, type ApiSend } from '@fedlora/shared/client';

/** The overview, with what is needed to read its times on this machine's clock. */
export interface OverviewState extends Overview {
  /** Coordinator's clock minus ours, milliseconds. */
  readonly clockOffsetMs: number;
}

const send: ApiSend = async ({ method, path, headers, body }) => {
  const response = await fetch(path, {
    method,
    headers,
    cache: 'no-store',
    credentials: 'same-origin',
    ...(body === undefined ? {} : { body }),
  });
  return { status: response.status, text: await response.text(), header: (name) => response.headers.get(name) };
};

/** One for the whole page: it remembers what changes must bring along. */
export const api = new OperatorApi(send);

export async function fetchOverview(): Promise<OverviewState> {
  const askedAt = Date.now();
  const overview = await api.overview();
  return { ...overview, clockOffsetMs: overview.serverTime - (askedAt + Date.now()) / 2 };
}

/** What a person is told of a failure, and what to do. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiProblem)) return 'The coordinator does not answer.';
  const wait = error.retryAfterSeconds;
  return `${error.message} ${wait === undefined ? (error.remedy ?? '') : `Try again in ${wait} s.`}`.trim();
}

/** True for answers that another try with the same sign-in cannot change. */
export function isRefusal(error: unknown): error is ApiProblem {
  return error instanceof ApiProblem && (error.status === 401 || error.status === 403);
}
