/** Organisations of a simulation: each update is one level in every place, and what the coordinator made them wait for is noted. */

import { createHash } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { CryptoProvider } from '@fedlora/protocol';
import { limits, type Reply, type RequestPhase, type RoundRequest } from '@fedlora/shared';
import { FakeFederation, FakeOrganisation } from '../support/fake-federation.js';

/** What clients wait for. `acknowledge`: from the answer to a request until the coordinator has stored it. */
export type Wait = 'sign in' | 'connect' | 'upload' | `acknowledge ${RequestPhase}`;

/** Which organisations fall silent in a round. Other ones in each round, so that none is always missing. */
export interface Dropout {
  readonly clients: number;
  /** In each round. */
  readonly silent: number;
}

/** What the organisations of one process have seen. */
export class Observations {
  /** In milliseconds. */
  readonly waits = new Map<Wait, number[]>();
  /** How often something went wrong for a client, by what it was. */
  readonly failures = new Map<string, number>();
  /** By round and organisation: the level that it added in every place. */
  readonly levels = new Map<string, Map<string, number>>();
  private lastTurn = Promise.resolve();

  async timed<Result>(wait: Wait, work: () => Promise<Result>): Promise<Result> {
    const start = performance.now();
    const result = await work();
    const times = this.waits.get(wait) ?? [];
    times.push(performance.now() - start);
    this.waits.set(wait, times);
    return result;
  }

  /** Resolves when it is the caller's turn: between any two, this process answers what else came, such as the pings of sockets. */
  turn(): Promise<void> {
    this.lastTurn = this.lastTurn.then(() => new Promise((resolve) => setImmediate(resolve)));
    return this.lastTurn;
  }

  failed(what: string): void {
    this.failures.set(what, (this.failures.get(what) ?? 0) + 1);
  }

  contributed(roundId: string, name: string, level: number): void {
    this.levels.set(roundId, (this.levels.get(roundId) ?? new Map<string, number>()).set(name, level));
  }
}

export class SimulatedFederation extends FakeFederation {
  constructor(
    private readonly provider: CryptoProvider,
    private readonly observations: Observations,
    private readonly dropout: Dropout,
  ) {
    super(provider);
  }

  protected override organisation(name: string): FakeOrganisation {
    return new SimulatedOrganisation(name, this.provider, this.observations, this.dropout);
  }
}

/** The name of an organisation by its number from 0. */
export function nameOf(index: number): string {
  return `org-${String(index).padStart(4, '0')}`;
}

/** Tries to connect, and the pause before the second. */
const MOST_ATTEMPTS = 8;
const FIRST_PAUSE_MS = 100;

/** `fetch` says only that it failed; why is in the cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

class SimulatedOrganisation extends FakeOrganisation {
  constructor(
    name: string,
    crypto: CryptoProvider,
    private readonly observations: Observations,
    dropout: Dropout,
  ) {
    super(name, name, crypto);
    const index = Number(name.slice(-4));
    // Each comes from an address of its own, as organisations do: the coordinator's limits of addresses stay as they are.
    this.headers = { 'x-forwarded-for': `10.0.${index >> 8}.${index & 255}` };
    this.pieceBytes = limits.uploadPieceBytes;
    this.ignores = ({ phase, roundId }: RoundRequest) => phase === 'training' && isSilent(index, roundId, dropout);
  }

  override signIn(url: string): Promise<string> {
    return this.observations.timed('sign in', () => super.signIn(url));
  }

  override connect(url: string): Promise<void> {
    return this.observations.timed('connect', async () => {
      await this.tryingAgain('connect', () => super.connect(url));
      void this.untilDisconnected().then((reason) => this.observations.failed(`disconnected: ${reason}`));
    });
  }

  protected override async answer(request: RoundRequest): Promise<void> {
    await this.observations.turn();
    await super.answer(request);
  }

  override async reply(roundId: string, phase: RequestPhase, message: Uint8Array): Promise<Reply> {
    const reply = await this.observations.timed(`acknowledge ${phase}`, () => super.reply(roundId, phase, message));
    if (!reply.ok) this.observations.failed(`${phase}: ${reply.error.code}`);
    return reply;
  }

  override async upload(roundId: string, bytes: Uint8Array): Promise<void> {
    const levels = this.contributed.get(roundId);
    // One of them says all: a thousand vectors would not fit into the memory of a simulation.
    if (levels !== undefined) this.observations.contributed(roundId, this.name, levels[0]);
    this.contributed.delete(roundId);
    await this.observations.timed('upload', () => this.tryingAgain('upload', () => super.upload(roundId, bytes)));
  }

  /** As the client does: after longer and longer pauses, when the network fails it. */
  private async tryingAgain<Result>(what: string, work: () => Promise<Result>): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await work();
      } catch (error) {
        this.observations.failed(`${what}: ${reasonOf(error)}`);
        if (attempt === MOST_ATTEMPTS) throw error;
        await wait(FIRST_PAUSE_MS * 2 ** attempt * (0.5 + Math.random() / 2));
      }
    }
  }

  /** The same value everywhere, by name and round, of a norm from 0.1 to 0.9. */
  protected override madeUp(roundId: string, length: number): Float64Array {
    const [byte] = createHash('sha256')
      .update(this.name + roundId)
      .digest();
    return new Float64Array(length).fill((0.1 + (0.8 * byte) / 255) / Math.sqrt(length));
  }
}

function isSilent(index: number, roundId: string, { clients, silent }: Dropout): boolean {
  const round = Number(/\d+$/.exec(roundId)?.[0]);
  return (index + round * silent) % clients < silent;
}
