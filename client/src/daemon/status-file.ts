/** What the daemon says about itself, in a file that `fedlora status` reads. */

import { readFile } from 'node:fs/promises';
import type { ClientState } from '@fedlora/shared';
import { writeAtomically } from '../storage/atomic-file.js';

/** `connecting`: no connection to the coordinator; `stopped`: no daemon runs. Others as on the wire. */
export type ShownState = ClientState | 'connecting' | 'stopped';

export interface Status {
  readonly pid: number;
  readonly clientVersion: string;
  readonly organisation: string;
  readonly coordinator: string;
  readonly state: ShownState;
  /** Unix milliseconds of the last change of state. */
  readonly since: number;
  readonly why: string;
  /** What will happen next. */
  readonly next: string;
  readonly connected: boolean;
  readonly device: string;
  readonly roundId: string | null;
  readonly lastRound: { readonly roundId: string; readonly ending: string; readonly at: number } | null;
  /** The newest change of members that this daemon saw, by name. */
  readonly rosterChange: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly replaced: readonly string[];
    readonly at: number;
  } | null;
  /** Set while an operator of the coordinator keeps this organisation out of rounds. */
  readonly suspension: { readonly reason: string | null } | null;
  /** Since the daemon started. */
  readonly rounds: { readonly counted: number; readonly declined: number; readonly aborted: number };
  /** The last of each of the three things that leave this machine. */
  readonly sent: {
    readonly controlMessage: { readonly what: string; readonly at: number } | null;
    readonly maskedUpdate: { readonly bytes: number; readonly at: number } | null;
    readonly keyShares: { readonly roundId: string; readonly at: number } | null;
  };
}

/** Writes the newest status; while one write is under way, only the newest of the following is kept. */
export class StatusFile {
  private writing: Promise<void> | undefined;
  private waiting: Status | undefined;

  constructor(
    private readonly path: string,
    private readonly onError: (error: unknown) => void,
  ) {}

  write(status: Status): void {
    this.waiting = status;
    this.writing ??= this.drain();
  }

  /** Resolves when everything given so far is on disk. */
  async settled(): Promise<void> {
    await this.writing;
  }

  private async drain(): Promise<void> {
    try {
      while (this.waiting !== undefined) {
        const status = this.waiting;
        this.waiting = undefined;
        await writeAtomically(this.path, `${JSON.stringify(status)}\n`, { mode: 0o600, durable: false });
      }
    } catch (error) {
      this.onError(error);
    } finally {
      this.writing = undefined;
    }
  }
}

/** The status that a daemon wrote last; `undefined` where none ever ran. */
export async function readStatus(path: string): Promise<Status | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Status;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
