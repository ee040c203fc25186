/**
 * A file of JSON lines that only grows: each append is on disk before the call returns.
 *
 * A process may die in the middle of an append, so the last line may be torn: it has no line feed. A torn line that is complete
 * JSON was fully written and is kept; any other is cut off. A bad line anywhere else is not an accident of ours and is reported.
 */

import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { flushFolder } from './atomic-file.js';

export interface OpenedLog {
  readonly log: AppendLog;
  /** The complete lines, in order, without their line feeds. */
  readonly lines: readonly string[];
  /** Whether a torn last line was cut off. */
  readonly repaired: boolean;
}

export class AppendLog {
  private pending: Promise<void> = Promise.resolve();

  private constructor(private readonly file: FileHandle) {}

  /**
   * Opens or creates the file (mode 0600) and repairs its end.
   *
   * `isComplete` says whether a last line without line feed was written in full, so that a complete entry is never cut off.
   */
  static async open(path: string, isComplete: (line: string) => boolean): Promise<OpenedLog> {
    const file = await open(path, 'a+', 0o600);
    try {
      const content = await file.readFile();
      if (content.length === 0) {
        await file.sync();
        await flushFolder(dirname(path));
        return { log: new AppendLog(file), lines: [], repaired: false };
      }
      const end = content.lastIndexOf(0x0a) + 1;
      const lines = content.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
      const tail = content.subarray(end).toString('utf8');
      if (tail === '') return { log: new AppendLog(file), lines, repaired: false };
      if (isComplete(tail)) {
        await file.write('\n');
        await file.sync();
        return { log: new AppendLog(file), lines: [...lines, tail], repaired: false };
      }
      await file.truncate(end);
      await file.sync();
      return { log: new AppendLog(file), lines, repaired: true };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Appends one line and waits until it is on disk. Calls queue up; after a failed write every later one fails too. */
  append(line: string): Promise<void> {
    const written = this.pending.then(async () => {
      await this.file.appendFile(`${line}\n`);
      await this.file.datasync();
    });
    this.pending = written;
    return written;
  }

  async close(): Promise<void> {
    await this.pending.catch(() => undefined); // Its caller was told.
    await this.file.close();
  }
}
