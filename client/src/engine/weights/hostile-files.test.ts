import { FedloraError } from '@fedlora/shared';
import fc from 'fast-check';
import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeBitsAndBytes } from './bitsandbytes.js';
import { expectedTensors, openBaseModel } from './hugging-face.js';
import { linearWeightNames } from './nf4-store.js';

const fixtures = resolve(import.meta.dirname, '../../../../test/fixtures/gguf');
const ropeTypes = ['llama3'] as const;

/** What a read may allocate for each byte of the files: NF4 becomes eight times as long in f32. */
const BYTES_PER_FILE_BYTE = 8;

/** Besides: the first piece of a header, and what the runtime makes for itself. */
const SLACK_BYTES = 2 << 20;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-hostile-'));
  for (const name of ['llama', 'qwen3']) await cp(join(fixtures, name), join(directory, name), { recursive: true });
  await writeBitsAndBytes(await openBaseModel(join(directory, 'qwen3')), join(directory, 'bnb'), { threads: 0 });
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(() => {
  vi.unstubAllGlobals();
});

/** Notes the largest array that is asked for by length. */
function watchAllocations(): () => number {
  let largest = 0;
  for (const name of ['Uint8Array', 'Uint16Array', 'Uint32Array', 'Float32Array', 'Float64Array'] as const) {
    const original = globalThis[name];
    vi.stubGlobal(
      name,
      new Proxy(original, {
        construct(target, args: [unknown], newTarget) {
          if (typeof args[0] === 'number') largest = Math.max(largest, args[0] * original.BYTES_PER_ELEMENT);
          return Reflect.construct(target, args, newTarget) as object;
        },
      }),
    );
  }
  return () => largest;
}

/** Opens a model and reads all there is of it. */
async function readWhole(path: string): Promise<void> {
  const base = await openBaseModel(path, { ropeTypes });
  for (const [name, shape] of expectedTensors(base.config)) await base.tensor(name, shape);
  for (const name of linearWeightNames(base.config)) await base.nf4?.(name, expectedTensors(base.config).get(name)!);
  const { vocab_size, hidden_size } = base.config;
  await base.halves?.('model.embed_tokens.weight', [vocab_size, hidden_size]);
}

interface Damage {
  readonly place: number;
  readonly inHeader: boolean;
  readonly removed: 'inserted' | number;
  readonly inserted: Uint8Array;
}

/** A change to a file: bytes put in the place of others, at a place in its first part (where headers are) or anywhere. */
const damage: fc.Arbitrary<Damage> = fc.record({
  place: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  inHeader: fc.boolean(),
  /** As many as are put in, so that all else stays in its place, or so many. */
  removed: fc.oneof(fc.constant('inserted' as const), fc.nat(12)),
  inserted: fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    // What turns into large numbers, negative ones, other names and other ends of JSON.
    fc
      .constantFrom('99999999', '-1', '1e99', '"', '}', ']', ',', '[', '{', 'null', '\\u0000', '0.5', 'F64', 'nf4')
      .map((text) => new TextEncoder().encode(text)),
    fc.constantFrom(0, 255).map((byte) => new Uint8Array(8).fill(byte)),
  ),
});

function damaged(bytes: Uint8Array, { place, inHeader, removed, inserted }: Damage): Buffer {
  const at = Math.floor(place * (inHeader ? Math.min(bytes.length, 4096) : bytes.length));
  return Buffer.concat([
    bytes.subarray(0, at),
    inserted,
    bytes.subarray(at + (removed === 'inserted' ? inserted.length : removed)),
  ]);
}

describe('a damaged base model', () => {
  it.each([
    ['llama', 'model.safetensors', 'a safetensors file'],
    ['llama', 'config.json', 'a config.json'],
    ['bnb', 'model.safetensors', 'a bitsandbytes checkpoint'],
    ['bnb', 'config.json', 'the config.json of a bitsandbytes checkpoint'],
    ['llama', 'model.gguf', 'a GGUF file'],
  ])('%s/%s is read or refused with an error of the catalogue, within the memory of its size', async (folder, file) => {
    const path = join(directory, folder, file);
    const whole = await readFile(path);
    const model = file.endsWith('.gguf') ? path : join(directory, folder);
    await readWhole(model);
    try {
      await fc.assert(
        fc.asyncProperty(damage, async (change) => {
          await writeFile(path, damaged(whole, change));
          const sizes = await Promise.all(
            [path, join(directory, folder, 'model.safetensors')].map(async (one) => (await stat(one)).size),
          );
          const largest = watchAllocations();
          try {
            await readWhole(model);
          } catch (error) {
            expect(error).toBeInstanceOf(FedloraError);
            expect((error as FedloraError).code).not.toBe('internal/unexpected');
          } finally {
            vi.unstubAllGlobals();
          }
          expect(largest()).toBeLessThanOrEqual(BYTES_PER_FILE_BYTE * Math.max(...sizes) + SLACK_BYTES);
        }),
        { numRuns: 150 },
      );
    } finally {
      await writeFile(path, whole);
    }
  });

  it('cut short anywhere is refused', async () => {
    for (const file of ['model.safetensors', 'model.gguf']) {
      const path = join(directory, 'llama', file);
      const whole = await readFile(path);
      const model = file.endsWith('.gguf') ? path : join(directory, 'llama');
      for (let length = 0; length < whole.length; length += 397) {
        await writeFile(path, whole.subarray(0, length));
        await expect(readWhole(model), `${file} of ${length} bytes`).rejects.toBeInstanceOf(FedloraError);
      }
      await writeFile(path, whole);
    }
  });
});
