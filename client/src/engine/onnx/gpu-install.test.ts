/** The script client/scripts/gpu-install.mjs against a feed of ours: what it fetches cannot be had, nor run, without a GPU. */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';

const script = join(import.meta.dirname, '../../../scripts/gpu-install.mjs');
const require = createRequire(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
const { version } = require('./package.json') as { version: string };
const AdmZip = require('adm-zip') as new () => { addFile(path: string, bytes: Buffer): void; toBuffer(): Buffer };

const NAME = 'microsoft.ml.onnxruntime.gpu.linux';
const LIBRARIES = ['libonnxruntime_providers_cuda.so', 'libonnxruntime_providers_shared.so'];

/** The first bytes of a library for x64 Linux, and some more. */
function library(machine = 62): Buffer {
  const bytes = Buffer.alloc(100, 7);
  bytes.writeUInt32BE(0x7f454c46, 0);
  bytes.writeUInt16LE(machine, 18);
  return bytes;
}

function archive(files: Readonly<Record<string, Buffer>>): Buffer {
  const zip = new AdmZip();
  for (const [file, bytes] of Object.entries(files)) zip.addFile(`runtimes/linux-x64/native/${file}`, bytes);
  return zip.toBuffer();
}
const whole = archive({ ...Object.fromEntries(LIBRARIES.map((file) => [file, library()])), 'unused.so': library() });

/** What the feed answers, by path. */
let answers: Record<string, object | Buffer>;
let server: Server;
let feed: string;

beforeAll(async () => {
  server = createServer((request, response) => {
    const answer = answers[request.url!];
    if (answer === undefined) response.writeHead(404).end();
    else response.end(Buffer.isBuffer(answer) ? answer : JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  feed = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

function serve(bytes: Buffer, stated = createHash('sha512').update(whole).digest('base64')): void {
  const resources = [
    { '@type': 'PackageBaseAddress/3.0.0', '@id': `${feed}/content/` },
    { '@type': 'RegistrationsBaseUrl', '@id': `${feed}/registration` },
  ];
  answers = {
    '/index.json': { resources },
    [`/content/${NAME}/index.json`]: { versions: ['1.0.0', version] },
    [`/content/${NAME}/${version}/${NAME}.${version}.nupkg`]: bytes,
    [`/registration/${NAME}/${version}.json`]: { catalogEntry: `${feed}/catalogue.json` },
    '/catalogue.json': { packageHashAlgorithm: 'SHA512', packageHash: stated },
  };
}
beforeEach(() => serve(whole));

interface Ending {
  readonly code: number;
  readonly output: string;
}

function install(into: string, ...args: readonly string[]): Promise<Ending> {
  const all = [script, '--no-driver-check', '--into', into, '--feed', `${feed}/index.json`, ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, all, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

const folder = (): string => mkdtempSync(join(tmpdir(), 'fedlora-gpu-'));

describe.runIf(process.platform === 'linux' && process.arch === 'x64')('npm run gpu:install', () => {
  it('fetches the libraries of the installed version, compares and unpacks them', async () => {
    const into = folder();
    expect(await install(into)).toEqual({
      code: 0,
      output: expect.stringContaining('SHA-512 is that of the catalogue'),
    });
    expect(readdirSync(into).sort()).toEqual(['fedlora-cuda.json', ...LIBRARIES]);
    expect(readFileSync(join(into, LIBRARIES[0]))).toEqual(library());
    answers = {};
    expect((await install(into)).output).toContain('are there already');
    expect((await install(into, '--check')).code).toBe(0);
  });

  it('notices a library that was changed since', async () => {
    const into = folder();
    await install(into);
    writeFileSync(join(into, LIBRARIES[1]), 'other');
    expect(await install(into, '--check')).toEqual({
      code: 1,
      output: expect.stringMatching(/providers_shared\.so was changed[^]*what to do: Run "npm run gpu:install"/),
    });
    await install(into);
    expect(readFileSync(join(into, LIBRARIES[1]))).toEqual(library());
  });

  it.each<[string, () => void, RegExp]>([
    ['another package than the catalogue states', () => serve(archive({ 'x.so': library() })), /SHA-512 differ/],
    [
      'a library for another machine',
      () => {
        const other = archive(Object.fromEntries(LIBRARIES.map((file) => [file, library(183)])));
        serve(other, createHash('sha512').update(other).digest('base64'));
      },
      /is no library for x64 Linux/,
    ],
    [
      'a package without the library',
      () => {
        const other = archive({ 'x.so': library() });
        serve(other, createHash('sha512').update(other).digest('base64'));
      },
      /The package has no runtimes/,
    ],
    [
      'a package that is cut short',
      () => {
        const cut = whole.subarray(0, 200);
        serve(cut, createHash('sha512').update(cut).digest('base64'));
      },
      /cannot be opened/,
    ],
    ['a feed without this version', () => (answers[`/content/${NAME}/index.json`] = { versions: ['1.0.0'] }), /has no/],
    ['a page in the place of an index', () => (answers['/index.json'] = Buffer.from('<html>')), /is no JSON/],
    ['a feed that fails', () => (answers = {}), /answers 404/],
  ])('refuses %s, and leaves nothing', async (_, change, cause) => {
    const into = folder();
    change();
    const { code, output } = await install(into);
    expect(output).toMatch(cause);
    expect(output).toMatch(/what to do: .{15}/);
    expect(code).toBe(1);
    expect(existsSync(into) ? readdirSync(into) : []).toEqual([]);
  });

  it('says what to do without a network', async () => {
    const { code, output } = await install(folder(), '--feed', 'http://127.0.0.1:1/index.json');
    expect(output).toMatch(/127\.0\.0\.1:1 cannot be reached .*[^]*Connect this machine to the internet/);
    expect(code).toBe(1);
  });
});
