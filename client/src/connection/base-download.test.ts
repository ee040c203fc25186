import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { COMMIT, fakeHub, listed, type FakeHub, type HubFile } from '../../../test/support/fake-hub.js';
import { serve } from '../../../test/support/http-server.js';
import { baseModelDigest } from '../engine/weights/digest.js';
import { downloadBaseModel, type DownloadedBase, type DownloadRequest } from './base-download.js';

const repository = 'someone/small-model';
const text = (value: string): HubFile => ({ bytes: Buffer.from(value) });
const weights: HubFile = { bytes: Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251)), isLarge: true };

let folder: string;
let hub: FakeHub;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-download-'));
  hub = await fakeHub(repository, {
    'config.json': text('{"model_type":"llama"}'),
    'tokenizer.json': text('{}'),
    'model.safetensors': weights,
    'README.md': text('# A model'),
    'model.py': text('print("no")'),
    'pytorch_model.bin': { bytes: Buffer.from('pickle'), isLarge: true },
  });
});
afterEach(async () => {
  await hub.close();
  await rm(folder, { recursive: true, force: true });
});

const download = (more: Partial<DownloadRequest> = {}): Promise<DownloadedBase> =>
  downloadBaseModel({ repository, endpoint: hub.url, folder, attempts: 1, ...more });

const finalName = `someone--small-model`;
const partialFile = (name: string): string => join(folder, finalName, `${COMMIT}.partial`, name);
const isFinished = async (): Promise<boolean> =>
  (await readdir(join(folder, finalName)).catch((): string[] => [])).includes(COMMIT);

/** Sends some bytes of the weights from where it was asked to, then cuts the connection. */
function cutAfter(count: number): FakeHub['transfer'] {
  return (name, begin, response) => {
    if (name !== 'model.safetensors') return false;
    response.writeHead(206, { 'content-range': `bytes ${begin}-${weights.bytes.length - 1}/${weights.bytes.length}` });
    response.write(weights.bytes.subarray(begin, begin + count), () => response.destroy());
    return true;
  };
}

describe('downloadBaseModel', () => {
  it('fetches config, tokenizer and weights of the commit, and nothing else', async () => {
    const { path, digest, revision } = await download();
    expect(revision).toBe(COMMIT);
    expect(path).toBe(join(folder, finalName, COMMIT));
    expect((await readdir(path)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(await readFile(join(path, 'model.safetensors'))).toEqual(weights.bytes);
    expect(digest).toBe(await baseModelDigest(path));
  });

  it('fetches nothing the second time, and still checks the digest', async () => {
    const { digest } = await download();
    const before = hub.requests.length;
    expect((await download({ digest })).digest).toBe(digest);
    expect(hub.requests.slice(before).map(({ path }) => path)).toEqual([`/api/models/${repository}/revision/HEAD`]);
    await expect(download({ digest: '0'.repeat(64) })).rejects.toMatchObject({ code: 'base-model/digest-mismatch' });
  });

  it('fetches the shards of an index, and refuses an index that leads out of the folder', async () => {
    hub.files.delete('model.safetensors');
    hub.files.set('a-1.safetensors', weights);
    hub.files.set('model.safetensors.index.json', text('{"weight_map":{"x":"a-1.safetensors"}}'));
    const { path } = await download();
    expect((await readdir(path)).sort()).toEqual([
      'a-1.safetensors',
      'config.json',
      'model.safetensors.index.json',
      'tokenizer.json',
    ]);
    await rm(join(folder, finalName), { recursive: true });
    hub.files.set('model.safetensors.index.json', text('{"weight_map":{"x":"../a-1.safetensors"}}'));
    await expect(download()).rejects.toMatchObject({ code: 'base-model/invalid' });
    expect(await isFinished()).toBe(false);
  });

  it('takes the only GGUF file of a repository without safetensors', async () => {
    hub.files.delete('model.safetensors');
    hub.files.delete('config.json');
    hub.files.set('small-Q8_0.gguf', weights);
    const { path, digest } = await download();
    expect(path).toBe(join(folder, finalName, COMMIT, 'model.gguf'));
    expect(digest).toBe(await baseModelDigest(path));
    hub.files.set('small-Q4_0.gguf', weights);
    await rm(join(folder, finalName), { recursive: true });
    await expect(download()).rejects.toMatchObject({ code: 'base-model/download-refused' });
  });
});

describe('an interrupted download', () => {
  it('goes on where it stopped, in another process too', async () => {
    hub.transfer = cutAfter(100_000);
    await expect(download()).rejects.toMatchObject({ code: 'base-model/download-failed' });
    expect(await isFinished()).toBe(false);
    const { size } = await stat(partialFile('model.safetensors'));
    expect(size).toBeGreaterThan(0);
    expect(size).toBeLessThanOrEqual(100_000);

    hub.transfer = undefined;
    const { path } = await download();
    expect(hub.requests.at(-1)).toMatchObject({ range: `bytes=${size}-${weights.bytes.length - 1}` });
    expect(await readFile(join(path, 'model.safetensors'))).toEqual(weights.bytes);
  });

  it('is taken up again as long as it gets further', async () => {
    hub.transfer = cutAfter(200_000);
    const { path } = await download({ attempts: 2 });
    expect(await readFile(join(path, 'model.safetensors'))).toEqual(weights.bytes);
  });

  it('is not mended with bytes from elsewhere in the file', async () => {
    hub.transfer = cutAfter(100_000);
    await expect(download()).rejects.toMatchObject({ code: 'base-model/download-failed' });
    const { size } = await stat(partialFile('model.safetensors'));
    hub.transfer = (name, begin, response) => {
      if (name !== 'model.safetensors' || begin === 0) return false;
      response.writeHead(200).end(weights.bytes); // as if no range had been asked for
      return true;
    };
    await expect(download()).rejects.toMatchObject({ code: 'base-model/download-failed' });
    expect((await stat(partialFile('model.safetensors'))).size).toBe(size);
  });

  it('is found out when what was there before is damaged', async () => {
    hub.transfer = cutAfter(100_000);
    await expect(download()).rejects.toMatchObject({ code: 'base-model/download-failed' });
    hub.transfer = undefined;
    const path = partialFile('model.safetensors');
    const damaged = await readFile(path);
    damaged[7] ^= 1;
    await writeFile(path, damaged);
    await expect(download()).rejects.toMatchObject({ code: 'base-model/download-corrupt' });
    expect(await isFinished()).toBe(false);
    await download(); // what was damaged is gone
  });
});

describe('a hostile server', () => {
  it.each(['../config.json', 'a/../../b.safetensors', '/etc/passwd', 'C:model.safetensors', '..\\x.safetensors'])(
    'that lists %s is refused',
    async (name) => {
      hub.listing = [...[...hub.files].map(([path, file]) => listed(path, file)), listed(name, text('x'))];
      await expect(download()).rejects.toMatchObject({ code: 'base-model/download-corrupt' });
      expect(await isFinished()).toBe(false);
    },
  );

  it('that sends more than it listed is cut off, and nothing is kept', async () => {
    hub.transfer = (name, _, response) => {
      if (name !== 'model.safetensors') return false;
      response.writeHead(200);
      response.write(weights.bytes);
      response.end('and more');
      return true;
    };
    await expect(download()).rejects.toMatchObject({ code: 'base-model/download-corrupt' });
    await expect(stat(partialFile('model.safetensors'))).rejects.toThrow('ENOENT');
    expect(await isFinished()).toBe(false);
  });

  it.each(['model.safetensors', 'tokenizer.json'])(
    'that sends another %s than it listed is found out',
    async (name) => {
      hub.transfer = (asked, _, response) => {
        if (asked !== name) return false;
        const bytes = Buffer.from(hub.files.get(name)!.bytes);
        bytes[0] ^= 1;
        response.writeHead(200).end(bytes);
        return true;
      };
      await expect(download()).rejects.toMatchObject({ code: 'base-model/download-corrupt' });
      await expect(stat(partialFile(name))).rejects.toThrow('ENOENT');
      expect(await isFinished()).toBe(false);
    },
  );

  it('gets no further with a model of another digest', async () => {
    await expect(download({ digest: '0'.repeat(64) })).rejects.toMatchObject({ code: 'base-model/digest-mismatch' });
    expect(await isFinished()).toBe(false);
  });

  it('that gives another commit than was asked for is refused', async () => {
    await expect(download({ revision: 'd'.repeat(40) })).rejects.toMatchObject({
      code: 'base-model/download-corrupt',
    });
  });

  it('does not get the access token sent to another one', async () => {
    const seen: (string | undefined)[] = [];
    const other = await serve((request, _, response) => {
      seen.push(request.headers.authorization);
      response.writeHead(200, { 'content-type': 'application/json' }).end('[]');
    });
    try {
      hub.next = `${other.url}/more`;
      await download({ token: 'hf_secret' });
      expect(seen).toEqual([undefined]);
      expect(hub.requests.every(({ authorization }) => authorization === 'Bearer hf_secret')).toBe(true);
    } finally {
      await other.close();
    }
  });

  it('without the model, or with an unusable name of one, is an error that says so', async () => {
    await expect(download({ repository: 'no/such' })).rejects.toMatchObject({ code: 'base-model/download-refused' });
    await expect(download({ repository: '../../x' })).rejects.toMatchObject({ code: 'base-model/download-refused' });
    hub.files.delete('tokenizer.json');
    await expect(download()).rejects.toThrow(/no tokenizer.json/);
  });
});
