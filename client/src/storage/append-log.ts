/**
 * A file of JSON lines that only grows: each append is on disk before the call returns.
 *
 * A process may die in the middle of an append, so the last line may be torn: it has no line feed, and after a power cut perhaps
 * zeros where bytes were to come. A torn line that is complete was fully written and is kept; one that only begins is cut off.
 * Anything else, such as a complete line with something behind it, is not an accident of ours: the caller gets it as a line.
 */

import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { flushFolder } from './atomic-file.js';
import { writeError } from './disk-full.js';

export interface OpenedLog {
  readonly log: AppendLog;
  /** The complete lines, in order, without their line feeds. */
  readonly lines: readonly string[];
  /** Whether a torn last line was cut off. */
  readonly repaired: boolean;
}

export class AppendLog {
  private pending: Promise<void> = Promise.resolve();
  /** What made the file one that nobody may go on with. */
  private broken: { readonly because: unknown } | undefined;

  private constructor(
    private readonly path: string,
    private readonly file: FileHandle,
    /** What the file has, in bytes, if nobody else writes to it. */
    private length: number,
  ) {}

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
        return { log: new AppendLog(path, file, 0), lines: [], repaired: false };
      }
      const end = content.lastIndexOf(0x0a) + 1;
      const lines = content.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
      const tail = content.subarray(end).toString('utf8');
      if (tail === '') return { log: new AppendLog(path, file, end), lines, repaired: false };
      const begun = tail.replace(/\0+$/, '');
      if (isComplete(begun)) {
        const length = end + Buffer.byteLength(begun);
        await file.truncate(length);
        await file.write('\n');
        await file.sync();
        return { log: new AppendLog(path, file, length + 1), lines: [...lines, begun], repaired: false };
      }
      if (beginsWithComplete(begun, isComplete)) {
        return { log: new AppendLog(path, file, content.length), lines: [...lines, tail], repaired: false };
      }
      await file.truncate(end);
      await file.sync();
      return { log: new AppendLog(path, file, end), lines, repaired: true };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Appends one line and waits until it is on disk. Calls queue up.
   *
   * Guarantee  fails where another process has written too, so that no two of them go on with half of the lines each. A line that the
   *            disk had no room for is taken back, and the next one is tried; after any other failure every later call fails.
   * @throws FedloraError ledger/in-use | home/disk-full
   */
  append(line: string): Promise<void> {
    const written = this.pending.then(() => this.write(Buffer.from(`${line}\n`, 'utf8')));
    this.pending = written.catch(() => undefined); // Its caller is told.
    return written;
  }

  private async write(bytes: Uint8Array): Promise<void> {
    if (this.broken !== undefined) throw this.broken.because;
    await this.surely(() => this.checkLength());
    try {
      await this.file.appendFile(bytes);
    } catch (error) {
      // It was not said to be on disk, so what there is of it may go.
      await this.surely(() => this.file.truncate(this.length));
      throw writeError(error, this.path);
    }
    await this.surely(async () => {
      await this.file.datasync();
      this.length += bytes.length;
      await this.checkLength();
    });
  }

  /** Does what nothing can be built on when it fails. */
  private async surely(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.broken = { because: writeError(error, this.path) };
      throw this.broken.because;
    }
  }

  private async checkLength(): Promise<void> {
    const { size } = await this.file.stat();
    if (size !== this.length) throw new FedloraError('ledger/in-use');
  }

  async close(): Promise<void> {
    await this.pending;
    await this.file.close();
  }
}

/** Whether some part of the text, from its beginning to a closing brace, is a complete line. */
function beginsWithComplete(text: string, isComplete: (line: string) => boolean): boolean {
  for (let at = text.indexOf('}'); at >= 0; at = text.indexOf('}', at + 1)) {
    if (isComplete(text.slice(0, at + 1))) return true;
  }
  return false;
}
