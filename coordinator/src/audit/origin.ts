/** Who asks for a change, and from where: what the audit log says of it. */

import type { AuditActor } from '@fedlora/shared';

export interface Origin {
  readonly actor: AuditActor;
  readonly address: string | null;
  readonly requestId: string | null;
}

/** The coordinator itself, as its timers and rounds go on. */
export const bySystem: Origin = { actor: { kind: 'system' }, address: null, requestId: null };

/** An organisation's client over its socket. */
export function byClient(name: string): Origin {
  return { actor: { kind: 'client', name }, address: null, requestId: null };
}
