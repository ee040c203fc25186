import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fedlora as run } from '../../../test/support/command-line.js';
import { COMMIT, fakeHub } from '../../../test/support/fake-hub.js';
import { baseModelDigest } from '../engine/weights/digest.js';

const model = resolve(import.meta.dirname, '../../../test/fixtures/gguf/qwen3');

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fedlora-cli-base-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const fedlora = (args: readonly string[], environment: NodeJS.ProcessEnv = {}) =>
  run(args, { environment: { FEDLORA_HOME: join(directory, 'home'), ...environment } });

describe('fedlora base download', () => {
  it('prints the path that --base takes, and reads server and token from the environment', async () => {
    const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
    const files = await Promise.all(names.map(async (name) => [name, { bytes: await readFile(join(model, name)) }]));
    const hub = await fakeHub('someone/qwen3', Object.fromEntries(files));
    try {
      const environment = { HF_ENDPOINT: hub.url, HF_TOKEN: 'hf_abc' };
      const { code, out, error } = await fedlora(['base', 'download', 'someone/qwen3'], environment);
      expect(code).toBe(0);
      expect(out).toBe(join(directory, 'home', 'cache', 'models', 'someone--qwen3', COMMIT));
      expect(error).toContain(await baseModelDigest(model));
      expect(error).not.toContain('hf_abc');
      expect(hub.requests[0].authorization).toBe('Bearer hf_abc');
    } finally {
      await hub.close();
    }
  });

  it('refuses a server without TLS elsewhere, and what is no token, without showing it', async () => {
    const elsewhere = await fedlora(['base', 'download', 'a/b', '--endpoint', 'http://example.org']);
    expect(elsewhere).toMatchObject({ code: 20, error: expect.stringContaining('--endpoint') });
    const badToken = await fedlora(['base', 'download', 'a/b'], { HF_TOKEN: 'sesame' });
    expect(badToken).toMatchObject({ code: 20, error: expect.stringContaining('HF_TOKEN') });
    expect(badToken.error).not.toContain('sesame');
  });
});

describe('fedlora base quantize', () => {
  it('writes a checkpoint, says how fast, and keeps the codes for the next time', async () => {
    const first = await fedlora(['base', 'quantize', model, join(directory, 'a'), '--json']);
    expect(first.code).toBe(0);
    expect(JSON.parse(first.out)).toEqual({
      out: join(directory, 'a'),
      digest: await baseModelDigest(join(directory, 'a')),
    });
    expect(first.error).toMatch(/quantized .* million parameters in .* a second.*kept in the cache/);
    const second = await fedlora(['base', 'quantize', model, join(directory, 'b')]);
    expect(second.error).toMatch(/read .* from the cache/);
    const weights = (name: string): Promise<Buffer> => readFile(join(directory, name, 'model.safetensors'));
    expect(await weights('b')).toEqual(await weights('a'));
  });

  it('keeps nothing with --no-cache', async () => {
    const { code } = await fedlora(['base', 'quantize', model, join(directory, 'a'), '--no-cache']);
    expect(code).toBe(0);
    expect(await readdir(directory)).toEqual(['a']);
  });
});
