/**
 * What this organisation has promised in secure aggregation, one line each, on disk before it is acted on.
 *
 * Two promises: a session (`sid`) is joined at most once, and the unmasking of a session is decided at most once. The second is
 * what keeps a coordinator from asking for both kinds of share of one participant, even across a restart (SPEC §7.6).
 */

import { FedloraError } from '@fedlora/shared';
import { ProtocolError } from '@fedlora/protocol';
import { AppendLog } from './append-log.js';

interface Decision {
  readonly kind: 'joined' | 'unmasking';
  readonly sid: string;
  readonly roundId: string;
  /** `unmasking`: hex SHA-256 of the request that was answered. */
  readonly request?: string;
  readonly at: number;
}

export class Decisions {
  private constructor(
    private readonly log: AppendLog,
    private readonly joined: Set<string>,
    private readonly unmasked: Map<string, string>,
  ) {}

  /** @throws FedloraError decisions/tampered */
  static async open(path: string): Promise<Decisions> {
    const { log, lines } = await AppendLog.open(path, (line) => parse(line) !== undefined);
    const joined = new Set<string>();
    const unmasked = new Map<string, string>();
    for (const [index, line] of lines.entries()) {
      const decision = parse(line);
      if (decision === undefined) {
        await log.close();
        throw new FedloraError('decisions/tampered', `Line ${index + 1} of the decisions is not one of ours.`, {
          details: { line: index + 1 },
        });
      }
      if (decision.kind === 'joined') joined.add(decision.sid);
      else unmasked.set(decision.sid, decision.request ?? '');
    }
    return new Decisions(log, joined, unmasked);
  }

  hasJoined(sid: string): boolean {
    return this.joined.has(sid);
  }

  /** Notes that this organisation takes part in a session. @throws FedloraError offer/session-reused */
  async join(sid: string, roundId: string, at: number): Promise<void> {
    if (this.joined.has(sid)) throw new FedloraError('offer/session-reused');
    this.joined.add(sid);
    await this.log.append(JSON.stringify({ kind: 'joined', sid, roundId, at } satisfies Decision));
  }

  /**
   * Decides to answer the unmasking request with hash `request` in session `sid`; on disk when this returns.
   *
   * Guarantee  for one sid, this succeeds for at most one request, whatever restarts happen between.
   * @throws ProtocolError secagg/wrong-phase: another request was answered before; the coordinator is at fault
   */
  async unmask(sid: string, roundId: string, request: string, at: number): Promise<void> {
    const before = this.unmasked.get(sid);
    if (before !== undefined && before !== request) {
      throw new ProtocolError(
        'secagg/wrong-phase',
        'Unmasking of this round was answered before, for another request.',
        { roundId },
      );
    }
    if (before === request) return;
    this.unmasked.set(sid, request);
    await this.log.append(JSON.stringify({ kind: 'unmasking', sid, roundId, request, at } satisfies Decision));
  }

  close(): Promise<void> {
    return this.log.close();
  }
}

function parse(line: string): Decision | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { kind, sid, roundId, request } = value as Record<string, unknown>;
  if (typeof sid !== 'string' || typeof roundId !== 'string') return undefined;
  if (kind === 'joined') return value as Decision;
  return kind === 'unmasking' && typeof request === 'string' ? (value as Decision) : undefined;
}
