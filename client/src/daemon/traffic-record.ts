/**
 * A record of everything that this client sends, for whoever wants to see what leaves: one file a message, and `index.jsonl`.
 *
 * Written before the message is handed to the network, in order. It holds what was sent and nothing else: no row, no key, no token.
 */

import { createHash } from 'node:crypto';
import { appendFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import type { OnOutgoing } from '../connection/outgoing.js';

/** A line of `index.jsonl`. */
export interface TrafficLine {
  /** Unix milliseconds. */
  readonly at: number;
  readonly channel: 'http' | 'socket';
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: number;
  /** Hex, of the file. */
  readonly sha256: string;
  /** Name of the file beside the index; `null` without a body. */
  readonly file: string | null;
}

export const TRAFFIC_INDEX = 'index.jsonl';

/** Records into a folder, which is made and must be empty. @throws FedloraError config/invalid: there is something in it */
export function recordTraffic(folder: string, now: () => number): OnOutgoing {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (readdirSync(folder).length > 0)
    throw new FedloraError('config/invalid', 'The folder for the record of traffic is not empty.', { where: folder });
  let count = 0;
  return ({ channel, name, headers, body }) => {
    count += 1;
    const file = body.length === 0 ? null : `${String(count).padStart(6, '0')}.${channel === 'http' ? 'bin' : 'json'}`;
    if (file !== null) writeFileSync(join(folder, file), body, { mode: 0o600 });
    const sha256 = createHash('sha256').update(body).digest('hex');
    const line: TrafficLine = { at: now(), channel, name, headers, bytes: body.length, sha256, file };
    appendFileSync(join(folder, TRAFFIC_INDEX), `${JSON.stringify(line)}\n`, { mode: 0o600 });
  };
}
