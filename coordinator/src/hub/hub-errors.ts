/** Refusals as the Hub's clients understand them: by status, and by headers that say what is not there. */

import type { ErrorCode } from '@fedlora/shared';
import type { Problem } from '../nest/problem.js';

const HUB_ADDRESS = /^\/(?:api\/models\/|api\/whoami-v2$|[^/]+\/[^/]+\/(?:resolve|raw)\/)/;

const errorCodes: Readonly<Partial<Record<ErrorCode, string>>> = {
  'repository/unknown': 'RepoNotFound',
  'version/no-revision': 'RevisionNotFound',
  'version/unknown': 'RevisionNotFound',
  'version/no-file': 'EntryNotFound',
};

export function isHubAddress(path: string): boolean {
  return HUB_ADDRESS.test(path);
}

/** Headers of a refusal. `isKnown`: whether credentials came along. */
export function hubHeaders({ code, status, detail }: Problem, isKnown: boolean): Record<string, string> {
  const errorCode = errorCodes[code];
  // The Hub's clients tell a wrong token from a missing one by these words.
  const said =
    status !== 401 ? detail : isKnown ? 'Invalid credentials in Authorization header' : 'Invalid username or password.';
  return {
    ...(errorCode === undefined ? {} : { 'x-error-code': errorCode }),
    'x-error-message': said
      .replaceAll('’', "'")
      .replaceAll(/[^ -~]+/g, ' ')
      .slice(0, 1000),
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
  };
}
