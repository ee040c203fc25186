/** The rounds that this client was asked to join: under which terms, what it sent, and how they ended. For people; nothing depends on it. */

import { readFile } from 'node:fs/promises';
import { AppendLog } from './append-log.js';
import { writeAtomically } from './atomic-file.js';

/** Something that was sent in a round. */
export interface Sent {
  /** A phase's reply, `decline`, or `masked update`. */
  readonly what: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export interface RoundEntry {
  readonly roundId: string;
  readonly runId: string;
  readonly title: string;
  readonly manifestHash: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly endedAt: number;
  /** `counted`, `declined` or `aborted`, and the version, code or cause. */
  readonly ending: string;
  readonly because: string;
  readonly sent: readonly Sent[];
}

/** Rounds that are kept when the book is opened; it may grow to twice as many before it is cut. */
const KEPT = 10_000;

export class RoundBook {
  private constructor(private readonly log: AppendLog) {}

  /** Opens or creates the book. A coordinator that offers round after round cannot fill the disk: of very many, the newest stay. */
  static async open(path: string): Promise<RoundBook> {
    const { log, lines } = await open(path);
    if (lines.length < 2 * KEPT) return new RoundBook(log);
    await log.close();
    await writeAtomically(path, `${lines.slice(-KEPT).join('\n')}\n`, { mode: 0o600 });
    return new RoundBook((await open(path)).log);
  }

  add(entry: RoundEntry): Promise<void> {
    return this.log.append(JSON.stringify(entry));
  }

  close(): Promise<void> {
    return this.log.close();
  }
}

/** The newest `count` rounds, the newest first; while a daemon may be writing. */
export async function lastRounds(path: string, count: number): Promise<readonly RoundEntry[]> {
  const content = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return content
    .split('\n')
    .slice(0, -1)
    .slice(-count)
    .map(parse)
    .filter((entry) => entry !== undefined)
    .reverse();
}

function open(path: string): ReturnType<typeof AppendLog.open> {
  return AppendLog.open(path, (line) => parse(line) !== undefined);
}

function parse(line: string): RoundEntry | undefined {
  try {
    const entry = JSON.parse(line) as RoundEntry | null;
    return typeof entry?.roundId === 'string' && Array.isArray(entry.sent) ? entry : undefined;
  } catch {
    return undefined;
  }
}
