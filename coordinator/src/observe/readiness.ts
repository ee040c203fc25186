/** Whether this process can do its work: it is not shutting down, database and bucket answer, and its data folder can be written to. */

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FedloraError } from '@fedlora/shared';

/** Written and removed again; a disk that is full or read-only refuses it. */
const PROBE = '.ready';

export class Readiness {
  private isStopping = false;
  private probing: Promise<void> | undefined;

  constructor(
    private readonly dataFolder: string,
    private readonly askDatabase: () => Promise<unknown>,
    /** Throws unless it drives, or passes on to the one that does. */
    private readonly expectServing: () => void,
    private readonly askBlobs: () => Promise<void> = () => Promise.resolve(),
  ) {}

  /** From now on it is not ready. */
  stop(): void {
    this.isStopping = true;
  }

  /** @throws FedloraError coordinator/not-ready: says why | coordinator/standing-by: it would be, but another drives, and cannot be reached */
  async expectReady(): Promise<void> {
    if (this.isStopping) throw new FedloraError('coordinator/not-ready', 'The coordinator is shutting down.');
    // One probe for all who ask at the same time.
    this.probing ??= this.probe().finally(() => (this.probing = undefined));
    await this.probing;
    this.expectServing();
  }

  private async probe(): Promise<void> {
    try {
      await this.askDatabase();
    } catch (cause) {
      throw new FedloraError('coordinator/not-ready', 'The database does not answer.', { cause });
    }
    try {
      await this.askBlobs();
    } catch (cause) {
      throw new FedloraError('coordinator/not-ready', 'The S3 bucket of the blobs does not answer.', { cause });
    }
    const path = join(this.dataFolder, PROBE);
    try {
      await writeFile(path, 'ready\n', { flush: true });
      await rm(path, { force: true }); // Another coordinator on the same folder may have removed it.
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new FedloraError('coordinator/not-ready', `The data folder cannot be written to (${code ?? 'unknown'}).`, {
        cause,
      });
    }
  }
}
