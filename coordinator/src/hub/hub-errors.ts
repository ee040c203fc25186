/** Refusals as the Hub's clients understand them: by status, and by headers that say what is not there. */

import type { ErrorCode } from '@fedlora/shared';
import type { Problem } from '../nest/problem.js';

const errorCodes: Readonly<Partial<Record<ErrorCode, string>>> = {
  'repository/unknown': 'RepoNotFound',
  'version/no-revision': 'RevisionNotFound',
  'version/unknown': 'RevisionNotFound',
  // Beside its 410: without a code that they know, clients go on with what they have in their cache.
  'version/revoked': 'RevisionNotFound',
  'version/no-file': 'EntryNotFound',
};

/** Headers of a refusal. `isKnown`: whether credentials came along. */
export function hubHeaders({ code, status, detail }: Problem, isKnown: boolean): Record<string, string> {
  // To a stranger a repository is not there: over TLS the Hub's clients conclude that from the status alone.
  const errorCode = status === 401 && !isKnown ? 'RepoNotFound' : errorCodes[code];
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
