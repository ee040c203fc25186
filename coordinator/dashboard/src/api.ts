/** What the page asks of the coordinator over HTTP: the shared client over `fetch`, with the cookie of the sign-in. */

import { ApiProblem, OperatorApi, type ApiSend } from '@fedlora/shared/client';
import { noteServerDate } from './clock.js';

const send: ApiSend = async ({ method, path, headers, body }) => {
  const askedAt = Date.now();
  const response = await fetch(path, {
    method,
    headers,
    cache: 'no-store',
    credentials: 'same-origin',
    ...(body === undefined ? {} : { body }),
  });
  noteServerDate(response.headers.get('date'), askedAt, Date.now());
  return { status: response.status, text: await response.text(), header: (name) => response.headers.get(name) };
};

/** One for the whole page: it remembers what changes must bring along. */
export const api = new OperatorApi(send);

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

/** True if the coordinator does not know, or no longer knows, who asks. */
export function isSignInOver(error: unknown): boolean {
  return error instanceof ApiProblem && error.code === 'session/required';
}
