import { createHash } from 'node:crypto';
import { mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { canonicalJson, toHex } from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import { versionId, versionMessage, type VersionRecord } from '@fedlora/shared';
import { AdapterStore } from '../storage/adapters.js';
import { fakeSignIn, serve, type TestServer } from '../../../test/support/http-server.js';
import { Http } from './http.js';
import { downloadVersion } from './download.js';

const { ed25519 } = nodeProvider;
const secret = ed25519.generateSecret(seededRandom('coordinator'));
const coordinatorKey = toHex(ed25519.publicKey(secret));

const contents: Record<string, Buffer> = {
  'adapter_config.json': Buffer.from('{"r":2}'),
  'adapter_model.safetensors': Buffer.from('weights '.repeat(20)),
  'README.md': Buffer.from('# A card'),
};

type Files = Record<string, Buffer>;

/** A version as the coordinator serves it. */
function aVersion(changes: Partial<VersionRecord> = {}, signWith = secret): { id: string; files: Files } {
  const content = {
    runId: 'run-1',
    parent: null,
    roundId: null,
    completedRounds: 0,
    manifestHash: 'a'.repeat(64),
    rosterHash: 'b'.repeat(64),
    base: { name: 'tiny', digest: 'c'.repeat(64) },
    unit: 'record' as const,
    epsilon: null,
    delta: null,
    createdAt: 1,
    files: Object.entries(contents).map(([name, bytes]) => ({
      name,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      bytes: bytes.length,
    })),
    ...changes,
  };
  const record: VersionRecord = { ...content, id: changes.id ?? versionId(content) };
  return {
    id: record.id,
    files: {
      ...contents,
      'manifest.json': Buffer.from(canonicalJson(record)),
      'manifest.sig': Buffer.from(toHex(ed25519.sign(signWith, versionMessage(record)))),
    },
  };
}

describe('downloadVersion', () => {
  let server: TestServer;
  const asked: string[] = [];
  afterEach(async () => {
    asked.length = 0;
    await server.close();
  });

  const offer = async (files: Files, cut?: string, times = Infinity): Promise<void> => {
    let cuts = 0;
    server = await serve((request, _body, response) => {
      const name = (request.url ?? '').split('/').at(-1) ?? '';
      asked.push(name);
      const file = files[name];
      if (file === undefined) response.writeHead(404).end();
      else if (name === cut && cuts++ < times) {
        response.writeHead(200, { 'content-length': file.length });
        response.write(file.subarray(0, 5));
        setTimeout(() => response.destroy(), 5);
      } else response.end(file);
    });
  };
  const download = (id: string) =>
    downloadVersion(id, {
      http: new Http(server.url),
      signIn: fakeSignIn(),
      coordinatorKey,
      backoff: { firstMs: 1, mostMs: 4 },
    });

  it('gives the files of a version that is what it says', async () => {
    const { id, files } = aVersion();
    await offer(files);
    const version = await download(id);
    expect(version.record.id).toBe(id);
    expect(Buffer.from(version.files.get('adapter_model.safetensors')!)).toEqual(contents['adapter_model.safetensors']);
    expect(version.files.size).toBe(5);
  });

  it('refuses a file that was altered, even by one bit', async () => {
    const { id, files } = aVersion();
    const altered = Buffer.from(files['adapter_model.safetensors']);
    altered[17] ^= 1;
    await offer({ ...files, 'adapter_model.safetensors': altered });
    await expect(download(id)).rejects.toMatchObject({ code: 'version/file-mismatch' });
  });

  it('refuses a file that was cut short, and one that does not end', async () => {
    const { id, files } = aVersion();
    await offer({ ...files, 'adapter_model.safetensors': files['adapter_model.safetensors'].subarray(0, 9) });
    await expect(download(id)).rejects.toMatchObject({ code: 'version/file-mismatch' });
    await server.close();
    await offer({ ...files, 'adapter_model.safetensors': Buffer.alloc(1 << 20) });
    await expect(download(id)).rejects.toMatchObject({ code: 'version/file-mismatch' });
    await server.close();
    await offer(files, 'adapter_model.safetensors');
    await expect(download(id)).rejects.toMatchObject({ code: 'connection/unreachable' });
  });

  it('asks again for a file whose connection broke in the middle, and for no other', async () => {
    const { id, files } = aVersion();
    await offer(files, 'adapter_model.safetensors', 3);
    const version = await download(id);
    expect(Buffer.from(version.files.get('adapter_model.safetensors')!)).toEqual(contents['adapter_model.safetensors']);
    expect(asked.filter((name) => name === 'adapter_model.safetensors')).toHaveLength(4);
    expect(asked.filter((name) => name === 'README.md')).toHaveLength(1);
  });

  it('ends at once when the round is over', async () => {
    const { id, files } = aVersion();
    await offer(files, 'adapter_model.safetensors');
    const over = new AbortController();
    const backoff = { firstMs: 60_000, mostMs: 60_000 };
    const http = new Http(server.url);
    const result = downloadVersion(id, { http, signIn: fakeSignIn(), coordinatorKey, signal: over.signal, backoff });
    setTimeout(() => over.abort(new Error('the round is over')), 50);
    await expect(result).rejects.toThrow(/^the round is over$/);
  });

  it('refuses a version that another key signed, before it fetches any file of it', async () => {
    const { id, files } = aVersion({}, ed25519.generateSecret(seededRandom('somebody else')));
    await offer(files);
    await expect(download(id)).rejects.toMatchObject({ code: 'version/bad-signature' });
    expect(asked.sort()).toEqual(['manifest.json', 'manifest.sig']);
  });

  it('refuses a record that was altered after it was signed', async () => {
    const { id, files } = aVersion();
    const record = Buffer.from(files['manifest.json'].toString().replace('"completedRounds":0', '"completedRounds":7'));
    await offer({ ...files, 'manifest.json': record });
    await expect(download(id)).rejects.toMatchObject({ code: 'version/bad-signature' });
  });

  it('refuses another version than the one that was asked for, though it is genuine', async () => {
    const { files } = aVersion();
    await offer(files);
    await expect(download('0'.repeat(40))).rejects.toMatchObject({ code: 'version/wrong-id' });
  });

  it('refuses a signed record whose id does not follow from its content', async () => {
    const { files } = aVersion({ id: '1'.repeat(40) });
    await offer(files);
    await expect(download('1'.repeat(40))).rejects.toMatchObject({ code: 'version/wrong-id' });
  });

  it.each(['../../identity.key', 'adapter_model.bin', 'manifest.json', 'README.md/'])(
    'refuses a signed record that names the file %s',
    async (name) => {
      const good = aVersion();
      const record = JSON.parse(good.files['manifest.json'].toString()) as VersionRecord;
      const { id, files } = aVersion({ files: [...record.files, { name, bytes: 1, sha256: 'a'.repeat(64) }] });
      await offer(files);
      await expect(download(id)).rejects.toMatchObject({ code: 'version/malformed' });
    },
  );

  it('is stored whole, read back checked, and not read back when a file was changed on disk', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-adapters-'));
    const store = new AdapterStore(folder, coordinatorKey, 2);
    const { id, files } = aVersion();
    await offer(files);
    await store.write(await download(id));
    expect((await store.read(id))?.record.id).toBe(id);
    await writeFile(join(folder, id, 'adapter_model.safetensors'), 'something else');
    expect(await store.read(id)).toBeUndefined();
    expect(await store.read('f'.repeat(40))).toBeUndefined();

    for (const createdAt of [2, 3, 4]) {
      const other = aVersion({ createdAt });
      await server.close();
      await offer(other.files);
      await store.write(await download(other.id));
    }
    expect(await readdir(folder)).toHaveLength(2);
  });
});
