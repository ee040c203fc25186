/** Blobs in a bucket of S3, or of a server that speaks its protocol. */

import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  type GetObjectCommandOutput,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { FedloraError } from '@fedlora/shared';
import type { Readable } from 'node:stream';
import type { S3Config } from '../config/blobs-config.js';
import { expectBlobName, NoSuchBlob, type BlobEntry, type BlobStore } from './blob-store.js';

/** Larger blobs are sent in parts of this size, a few at a time. */
const PART_BYTES = 16 * 2 ** 20;
const PARTS_AT_ONCE = 4;
/** An upload that began so long ago has nobody who goes on with it. */
const ABANDONED_MS = 24 * 3_600_000;
const CONNECT_MS = 5000;
/** Without a byte. */
const SILENCE_MS = 60_000;

/** A client for a bucket; keys come by the SDK's own chain: environment, shared files, or the machine's role. */
export function openS3({ region, endpoint }: S3Config): S3Client {
  return new S3Client({
    region,
    // Servers other than Amazon's have no name for each bucket, and do not all know the SDK's newer checksums.
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { connectionTimeout: CONNECT_MS, socketTimeout: SILENCE_MS },
  });
}

export class S3Blobs implements BlobStore {
  /** @param prefix of all keys: empty, or with a slash at its end */
  constructor(
    private readonly client: S3Client,
    private readonly bucket: string,
    private readonly prefix: string,
  ) {}

  async put(name: string, content: Uint8Array): Promise<void> {
    const object = { ...this.object(name), Body: content, ContentLength: content.length };
    if (content.length <= PART_BYTES) await answered(name, this.client.send(new PutObjectCommand(object)));
    else {
      const { ContentLength: _, ...params } = object;
      // Takes the parts back where one fails, but cannot where this process ends: `tidy` does that.
      const upload = new Upload({ client: this.client, params, partSize: PART_BYTES, queueSize: PARTS_AT_ONCE });
      await answered(name, upload.done());
    }
  }

  async get(name: string): Promise<Uint8Array> {
    return answered(name, this.open(name).then(bytesOf));
  }

  async part(name: string, begin: number, end: number): Promise<Buffer> {
    if (begin >= end) return Buffer.alloc(0);
    try {
      const range = `bytes=${begin}-${end - 1}`;
      return Buffer.from(await answered(name, this.open(name, range).then(bytesOf)));
    } catch (error) {
      if (statusOf(error) === 416) return Buffer.alloc(0);
      throw error;
    }
  }

  async *stream(name: string): AsyncGenerator<Uint8Array> {
    const { Body } = await answered(name, this.open(name));
    try {
      // Safe: in Node the SDK gives Node's streams.
      yield* Body as Readable as AsyncIterable<Uint8Array>;
    } catch (error) {
      throw unavailable(error);
    }
  }

  async size(name: string): Promise<number | undefined> {
    try {
      const { ContentLength } = await answered(name, this.client.send(new HeadObjectCommand(this.object(name))));
      return ContentLength;
    } catch (error) {
      if (error instanceof NoSuchBlob) return undefined;
      throw error;
    }
  }

  async delete(name: string): Promise<void> {
    await answered(name, this.client.send(new DeleteObjectCommand(this.object(name))));
  }

  async *list(prefix = ''): AsyncGenerator<BlobEntry> {
    const asked = { Bucket: this.bucket, Prefix: this.prefix + prefix };
    try {
      for await (const { Contents = [] } of paginateListObjectsV2({ client: this.client }, asked)) {
        for (const { Key = '', Size = 0, LastModified } of Contents)
          yield { name: Key.slice(this.prefix.length), bytes: Size, storedAt: LastModified?.getTime() ?? 0 };
      }
    } catch (error) {
      throw unavailable(error);
    }
  }

  async tidy(now = Date.now()): Promise<void> {
    const asked = { Bucket: this.bucket, Prefix: this.prefix };
    try {
      // The first thousand: the others have their turn at the next start.
      const { Uploads = [] } = await this.client.send(new ListMultipartUploadsCommand(asked));
      for (const { Key, UploadId, Initiated } of Uploads) {
        if ((Initiated?.getTime() ?? now) > now - ABANDONED_MS) continue;
        await this.client.send(new AbortMultipartUploadCommand({ Bucket: this.bucket, Key, UploadId }));
      }
    } catch (error) {
      throw unavailable(error);
    }
  }

  private open(name: string, range?: string): Promise<GetObjectCommandOutput> {
    return this.client.send(
      new GetObjectCommand({ ...this.object(name), ...(range === undefined ? {} : { Range: range }) }),
    );
  }

  private object(name: string): { readonly Bucket: string; readonly Key: string } {
    expectBlobName(name);
    return { Bucket: this.bucket, Key: this.prefix + name };
  }
}

async function bytesOf({ Body }: GetObjectCommandOutput): Promise<Uint8Array> {
  return (await Body?.transformToByteArray()) ?? new Uint8Array();
}

/** What a request brought. @throws NoSuchBlob | FedloraError coordinator/blobs-unavailable */
async function answered<Value>(name: string, request: Promise<Value>): Promise<Value> {
  try {
    return await request;
  } catch (error) {
    throw isAbsence(error) ? new NoSuchBlob(name) : unavailable(error);
  }
}

/** A bucket that is missing is no blob that is missing. */
function isAbsence(error: unknown): boolean {
  return error instanceof S3ServiceException && (error.name === 'NoSuchKey' || error.name === 'NotFound');
}

function statusOf(error: unknown): number | undefined {
  const { cause } = error as { readonly cause?: unknown };
  return cause instanceof S3ServiceException ? cause.$metadata.httpStatusCode : undefined;
}

function unavailable(cause: unknown): Error {
  const { code, name = 'unknown' } = cause as NodeJS.ErrnoException;
  const summary = `The S3 bucket does not do what it is asked (${code ?? name}).`;
  return new FedloraError('coordinator/blobs-unavailable', summary, { cause });
}
