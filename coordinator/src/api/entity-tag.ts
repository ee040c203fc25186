/** Entity tags: what a client looked at, so that it reads again only what changed, and changes only what it saw. */

import { createHash } from 'node:crypto';
import { FedloraError } from '@fedlora/shared';

/** A strong tag (RFC 9110 section 8.8.3) of a body as it is sent. */
export function entityTag(body: string | Uint8Array): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`;
}

/** Refuses a change of something that is no longer what the asker looked at. @throws FedloraError request/changed */
export function expectUnchanged(ifMatch: string | undefined, present: object): void {
  if (ifMatch === undefined || ifMatch.trim() === '*') return;
  const tags = ifMatch.split(',').map((tag) => tag.trim());
  if (!tags.includes(entityTag(JSON.stringify(present)))) throw new FedloraError('request/changed');
}
