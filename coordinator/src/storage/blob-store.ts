/** Where files are kept that never change: adapter versions, optimizer states, pieces of contributions. In a folder, or in an S3 bucket. */

export interface BlobEntry {
  readonly name: string;
  readonly bytes: number;
  /** Milliseconds of the Unix epoch. */
  readonly storedAt: number;
}

/**
 * Blobs by name, such as `9c1f…/adapter_config.json`: parts of letters, digits, `.`, `_` and `-` that do not begin with a dot, between slashes.
 *
 * Guarantee  a blob is there whole, or not at all, at any instant and after a crash at any instant; once `put` has returned it stays
 * @throws    NoSuchBlob where one is read that is not there; FedloraError coordinator/blobs-unavailable where a bucket does not answer;
 *            Error of the file system; TypeError for anything that is no name
 */
export interface BlobStore {
  /** Stores a blob. One of the same name is replaced. */
  put(name: string, content: Uint8Array): Promise<void>;
  /** All of a blob. */
  get(name: string): Promise<Uint8Array>;
  /** Bytes `begin` to before `end`; fewer where the blob ends earlier, none where it ends before `begin`. */
  part(name: string, begin: number, end: number): Promise<Buffer>;
  /** All of a blob, a piece at a time: memory holds a few of them. */
  stream(name: string): AsyncIterable<Uint8Array>;
  /** Bytes of a blob; `undefined` where there is none. */
  size(name: string): Promise<number | undefined>;
  /** Removes a blob. It may be gone already. */
  delete(name: string): Promise<void>;
  /** Blobs whose names begin with `prefix`, by name. */
  list(prefix?: string): AsyncIterable<BlobEntry>;
  /** Removes what uploads left that never came to an end. */
  tidy(): Promise<void>;
}

/** A blob that is read is not there. */
export class NoSuchBlob extends Error {
  constructor(name: string) {
    super(`There is no blob ${name}.`);
    this.name = 'NoSuchBlob';
  }
}

const NAME = /^[\w-][\w.-]*(\/[\w-][\w.-]*)*$/;

/** Names become paths and keys. @throws TypeError */
export function expectBlobName(name: string): void {
  if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} is no name of a blob.`);
}

/** Removes every blob whose name begins with `prefix`. */
export async function deleteAll(blobs: BlobStore, prefix: string): Promise<void> {
  const names: string[] = [];
  for await (const { name } of blobs.list(prefix)) names.push(name);
  for (const name of names) await blobs.delete(name);
}
