/**
 * Which records a data set has ever had: keyed fingerprints in a file that only grows, 8 bytes each, in the machine's order of bytes.
 *
 * A power cut may leave part of a fingerprint, or zeros: neither is a record's, and a fingerprint too many counts no record out.
 * Whether the file is the one that a ledger speaks of is told by its digest, which has the same key as the fingerprints.
 */

import { createHmac } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { flushFolder } from './atomic-file.js';
import { writeError } from './disk-full.js';

const FINGERPRINT_BYTES = 8;

export class RecordFile {
  private constructor(
    private readonly path: string,
    private readonly key: Uint8Array,
    private fingerprints: BigUint64Array,
  ) {}

  /** Reads the file; none is an empty one. */
  static async read(path: string, key: Uint8Array): Promise<RecordFile> {
    const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return new Uint8Array();
      throw error;
    });
    return new RecordFile(path, key, fingerprintsOf(content));
  }

  get count(): number {
    return this.fingerprints.length;
  }

  /** Hex, over the first `count` fingerprints. */
  digest(count = this.count): string {
    const { buffer } = this.fingerprints;
    const bytes = new Uint8Array(buffer, 0, count * FINGERPRINT_BYTES);
    return createHmac('sha256', this.key).update('fedlora/records/v1\n').update(bytes).digest('hex');
  }

  /** Whether it has, or begins with, what was noted. */
  isAsNoted({ count, digest }: { readonly count: number; readonly digest: string }): boolean {
    return count <= this.count && this.digest(count) === digest;
  }

  hasAny(records: ReadonlySet<bigint>): boolean {
    return this.fingerprints.some((fingerprint) => records.has(fingerprint));
  }

  /** Adds those that it does not have yet; on disk when this returns. Returns how many. */
  async add(records: ReadonlySet<bigint>): Promise<number> {
    const missing = new Set(records);
    for (const fingerprint of this.fingerprints) missing.delete(fingerprint);
    if (missing.size === 0) return 0;
    const grown = new BigUint64Array(this.count + missing.size);
    grown.set(this.fingerprints);
    grown.set([...missing], this.count);
    const file = await open(this.path, 'a+', 0o600);
    try {
      // Behind what was read: a part of a fingerprint at the end goes.
      const end = this.count * FINGERPRINT_BYTES;
      await file.truncate(end);
      await file.appendFile(new Uint8Array(grown.buffer, end));
      await file.sync();
    } catch (error) {
      throw writeError(error, this.path);
    } finally {
      await file.close();
    }
    await flushFolder(dirname(this.path));
    this.fingerprints = grown;
    return missing.size;
  }
}

function fingerprintsOf(content: Uint8Array): BigUint64Array {
  const whole = content.length - (content.length % FINGERPRINT_BYTES);
  return new BigUint64Array(content.slice(0, whole).buffer, 0, whole / FINGERPRINT_BYTES);
}
