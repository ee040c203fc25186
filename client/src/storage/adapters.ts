/** Adapter versions on disk: written whole, checked again whenever they are read, the newest few kept. */

import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkRecord, FedloraError, type VersionRecord } from '@fedlora/shared';
import { checkFile, type CheckedVersion } from './version-check.js';

export class AdapterStore {
  constructor(
    private readonly folder: string,
    private readonly coordinatorKey: string,
    private readonly keep: number,
  ) {}

  /** A version that was stored before, checked as if it had just arrived; `undefined` if it is not there or not whole. */
  async read(id: string): Promise<CheckedVersion | undefined> {
    const folder = join(this.folder, id);
    const file = (name: string): Promise<Uint8Array> => readFile(join(folder, name));
    try {
      const [recordBytes, signature] = await Promise.all([file('manifest.json'), file('manifest.sig')]);
      const record: VersionRecord = checkRecord(id, recordBytes, signature, this.coordinatorKey);
      const files = new Map<string, Uint8Array>();
      for (const entry of record.files) {
        const content = await file(entry.name);
        checkFile(entry, content);
        files.set(entry.name, content);
      }
      return { record, files: files.set('manifest.json', recordBytes).set('manifest.sig', signature) };
    } catch (error) {
      if (error instanceof FedloraError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /**
   * Stores a checked version under its id and removes the oldest.
   *
   * Written to a temporary folder and renamed, so a half-written version never has a name. Not flushed to disk: whatever a power
   * cut loses is found when it is read, and downloaded again.
   */
  async write({ record, files }: CheckedVersion): Promise<string> {
    const target = join(this.folder, record.id);
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const temporary = await mkdtemp(join(this.folder, '.incoming-'));
    try {
      await Promise.all([...files].map(([name, content]) => writeFile(join(temporary, name), content)));
      await rm(target, { recursive: true, force: true });
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
    await this.removeOldest();
    return target;
  }

  private async removeOldest(): Promise<void> {
    const names = (await readdir(this.folder)).filter((name) => /^[0-9a-f]{40}$/.test(name));
    if (names.length <= this.keep) return;
    const aged = await Promise.all(
      names.map(async (name) => ({ name, at: (await stat(join(this.folder, name))).mtimeMs })),
    );
    aged.sort((a, b) => b.at - a.at);
    await Promise.all(
      aged.slice(this.keep).map(({ name }) => rm(join(this.folder, name), { recursive: true, force: true })),
    );
  }
}
