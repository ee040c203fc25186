/** What an audit says of a version: the bound that its counts give, beside what the version promises. */

import { epsilonLowerBound, recordPromise, type PrivacyUnit } from '@fedlora/protocol';
import type { AuditFindingView } from '@fedlora/shared';
import type { StoredAudit } from './audit-findings.repository.js';

/** @param promised what the version promises: of one unit, as its terms have it */
export function auditFinding(
  { seal, canaries, guesses, right, at }: StoredAudit,
  promised: { readonly unit: PrivacyUnit; readonly epsilon: number | null; readonly delta: number | null },
): AuditFindingView {
  const ofRecord = recordPromise(promised.unit, promised.epsilon, promised.delta);
  const bound = epsilonLowerBound({ canaries, guesses, right }, ofRecord?.delta ?? 0);
  const epsilonPromised = ofRecord?.epsilon ?? null;
  return { seal, canaries, guesses, right, epsilonLowerBound: bound, epsilonPromised, at };
}

/** Whether the audit shows that the promise is not kept. */
export function isContradicted({ epsilonLowerBound: bound, epsilonPromised }: AuditFindingView): boolean {
  return epsilonPromised !== null && bound > epsilonPromised;
}
