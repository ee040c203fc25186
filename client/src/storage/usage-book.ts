/** How long training has used this machine: a file that only grows, so that a limit on hours survives every restart. */

import { AppendLog } from './append-log.js';

interface Usage {
  /** When the stretch ended, Unix milliseconds. */
  readonly at: number;
  /** How long it was, in milliseconds. */
  readonly ms: number;
}

export class UsageBook {
  private constructor(
    private readonly log: AppendLog,
    private readonly stretches: Usage[],
  ) {}

  /** Opens or creates the book. What is no line of it counts as nothing, so that a damaged file does not stop the client. */
  static async open(path: string): Promise<UsageBook> {
    const { log, lines } = await AppendLog.open(path, (line) => parse(line) !== undefined);
    return new UsageBook(
      log,
      lines.map(parse).filter((usage) => usage !== undefined),
    );
  }

  /** Adds a stretch that has just ended; it counts at once, and is on disk when this resolves. */
  add(ms: number, at: number): Promise<void> {
    const usage = { at, ms };
    this.stretches.push(usage);
    return this.log.append(JSON.stringify(usage));
  }

  /** Milliseconds of training that ended after `since`. What a clock that was set back has put into the future counts, too. */
  usedSince(since: number): number {
    return this.stretches.reduce((sum, { at, ms }) => (at > since ? sum + ms : sum), 0);
  }

  close(): Promise<void> {
    return this.log.close();
  }
}

function parse(line: string): Usage | undefined {
  try {
    const { at, ms } = JSON.parse(line) as Partial<Usage>;
    return typeof at === 'number' && typeof ms === 'number' && ms >= 0 ? { at, ms } : undefined;
  } catch {
    return undefined;
  }
}
