/** Errors as HTTP tells them: RFC 9457 problem details, made from the catalogue. */

import { errorEntry, FedloraError, type ErrorCode, type FieldProblem } from '@fedlora/shared';
import { InvalidFields } from './validated.js';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly retry: string;
  readonly remedy: string;
  /** Under which logs and the audit log know the request. */
  readonly requestId: string;
  /** Of a body or query whose fields are wrong. */
  readonly fields?: readonly FieldProblem[];
}

/** Statuses that tell more than whose fault it is. */
const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  'coordinator/busy': 503,
  'coordinator/not-ready': 503,
  'coordinator/standing-by': 503,
  'coordinator/driver-lost': 503,
  'coordinator/relay-refused': 503,
  'database/unreachable': 503,
  'request/not-found': 404,
  'request/too-large': 413,
  'request/unsupported-type': 415,
  'request/too-many': 429,
  'request/key-reused': 422,
  'request/in-progress': 409,
  'request/outcome-unknown': 409,
  'request/changed': 412,
  'session/required': 401,
  'session/not-allowed': 403,
  'session/challenge-spent': 401,
  'session/unknown-identity': 403,
  'session/pending': 403,
  'session/wire-version': 426,
  'crypto/bad-signature': 403,
  'enrol/token-unknown': 403,
  'enrol/token-spent': 409,
  'enrol/token-withdrawn': 403,
  'enrol/token-expired': 403,
  'enrol/wrong-name': 403,
  'enrol/name-taken': 409,
  'enrol/unknown-organisation': 404,
  'enrol/unknown-invitation': 404,
  'enrol/invitation-ended': 409,
  'organisation/left': 403,
  'organisation/not-suspended': 409,
  'run/unknown': 404,
  'run/not-running': 409,
  'run/not-paused': 409,
  'run/invalid-description': 422,
  'manifest/invalid': 422,
  'schedule/invalid': 422,
  'round/unknown': 404,
  'round/over': 410,
  'round/not-a-participant': 403,
  'round/wrong-phase': 409,
  'round/already-answered': 409,
  'upload/wrong-offset': 409,
  'upload/busy': 409,
  'upload/wrong-hash': 422,
  'version/unknown': 404,
  'version/revoked': 410,
  'version/no-revision': 404,
  'version/no-file': 404,
  'repository/unknown': 404,
  'tag/unknown': 404,
  'tag/taken': 409,
  'adapter/not-mergeable': 422,
  'outcomes/unknown-metric': 422,
  'outcomes/impossible': 422,
  'outcomes/invalid-metric': 422,
  'outcomes/metric-fixed': 409,
  'tag/invalid': 422,
  'channel/unknown': 404,
  'version/audited-otherwise': 409,
  'channel/fixed': 409,
  'channel/gate': 409,
  'channel/no-previous': 409,
  'access/wrong-credentials': 401,
  'access/second-factor-required': 401,
  'access/locked': 429,
  'access/cross-site': 403,
  'access/wrong-scope': 403,
  'access/link-spent': 403,
  'access/weak-password': 422,
  'access/name-taken': 409,
  'access/unknown-user': 404,
  'access/unknown-token': 404,
  'access/unknown-sign-in': 404,
  'access/last-admin': 409,
  'access/beyond-own-rights': 403,
  'access/second-factor-state': 409,
  'access/no-provider': 404,
  'access/provider-unreachable': 503,
  'access/provider-refused': 403,
  'access/provider-answer': 403,
  'access/sign-in-spent': 403,
  'access/no-role': 403,
  'access/user-disabled': 403,
  'access/provider-user': 409,
};

/** The problem that an error is. What was not thrown on purpose tells nothing about itself. */
export function problemOf(error: unknown): Omit<Problem, 'requestId'> {
  const known = FedloraError.from(error);
  const { code, summary } = known;
  const { meaning, retry, remedy } = errorEntry(code);
  return {
    type: `urn:fedlora:error:${code}`,
    title: meaning,
    status: statusOf(code),
    code,
    detail: summary,
    retry,
    remedy,
    ...(known instanceof InvalidFields ? { fields: known.fields } : {}),
  };
}

/** The HTTP status of an error. */
export function statusOf(code: ErrorCode): number {
  const { blame } = errorEntry(code);
  return statuses[code] ?? (blame === 'us' || blame === 'environment' ? 500 : 400);
}
