/**
 * `npm run gpu:install`: fetches onnxruntime's CUDA libraries, for `--device cuda`.
 *
 * They are too large for the npm registry. The package onnxruntime-node has a script that fetches them when it is installed, which
 * `.npmrc` turns off: it would run on every machine, and compares nothing of what it gets. What to fetch and from where is written
 * in that package's own metadata, and read there, so that it always fits the installed version.
 * Plain JavaScript without dependencies of its own, since it runs before anything is built.
 */

import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { hasNvidiaDriver, Obstacle, packageFolder, perform, run, say, tail } from './gpu-script.mjs';

const PACKAGE = 'onnxruntime-node';

/** Beside the libraries: of which version they are, and their digests. */
const STAMP = 'fedlora-cuda.json';

/** Of the libraries that the metadata lists, the one for TensorRT is not used here. */
const UNUSED = /tensorrt/;

const usage = `Usage: npm run gpu:install -- [options]

Fetches the CUDA libraries of the installed onnxruntime-node, and runs one matrix product on the GPU.

  --check            fetch nothing; say what is there (exit code 0 if CUDA works, 1 if not)
  --feed URL         index of another NuGet feed, such as a mirror of yours (default: the one that onnxruntime-node names)
  --no-driver-check  fetch also where there is no NVIDIA driver, such as when an image is built; the product is not run
  --into FOLDER      where the libraries go (default: beside those of onnxruntime-node, where it looks for them)
`;

/** What is to be fetched, as onnxruntime-node's metadata has it. */
function plan() {
  const folder = packageFolder(PACKAGE, 'Run "npm install".');
  const require = createRequire(join(folder, 'package.json'));
  const { version } = require('./package.json');
  const metadata = require('./script/install-metadata.js');
  const platform = `${process.platform}/${process.arch}`;
  const [requirement] = metadata.requirements[platform] ?? [];
  if (requirement === undefined) {
    throw new Obstacle(
      `onnxruntime ${version} has no CUDA libraries for ${platform}.`,
      'Use the device webgpu, which needs nothing to be fetched.',
    );
  }
  const files = Object.entries(metadata.manifests[`${platform}:${requirement}`]).filter(([name]) => !UNUSED.test(name));
  const { name, versions } = metadata.packages[files[0][1].package];
  const [{ feed, version: wanted }] = versions;
  return {
    version,
    requirement,
    libraries: files.map(([file, { path }]) => ({ file: basename(file), path })),
    name: name.toLowerCase(),
    wanted: wanted.toLowerCase(),
    index: metadata.feeds[feed].index,
    folder: join(folder, 'bin/napi-v6', platform),
    AdmZip: require('adm-zip'),
  };
}

async function fetchFrom(url) {
  let response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new Obstacle(
      `${new URL(url).host} cannot be reached (${cause.cause?.code ?? cause.message}).`,
      'Connect this machine to the internet, or name a feed that it reaches: npm run gpu:install -- --feed URL',
    );
  }
  if (!response.ok)
    throw new Obstacle(`${url} answers ${response.status}.`, 'Try again later, or name another feed with --feed.');
  return response;
}

async function json(url) {
  const response = await fetchFrom(url);
  try {
    return await response.json();
  } catch {
    throw new Obstacle(`${url} is no JSON.`, 'Give the address of a NuGet v3 index with --feed.');
  }
}

/** Addresses within a feed. Source: learn.microsoft.com, NuGet Server API, service index. */
async function resources(index) {
  const { resources: listed } = await json(index);
  const find = (type) => listed?.find((one) => String(one['@type']).startsWith(type))?.['@id']?.replace(/\/?$/, '/');
  const content = find('PackageBaseAddress/3.0.0');
  if (content === undefined)
    throw new Obstacle(`${index} lists no packages.`, 'Give the address of a NuGet v3 index with --feed.');
  return { content, registration: find('RegistrationsBaseUrl') };
}

/** SHA-512 of the package in base64 as the feed's catalogue states it, or undefined where the feed has no catalogue. */
async function statedDigest({ registration }, { name, wanted }) {
  if (registration === undefined) return undefined;
  const { catalogEntry } = await json(`${registration}${name}/${wanted}.json`);
  const entry = typeof catalogEntry === 'string' ? await json(catalogEntry) : catalogEntry;
  return entry?.packageHashAlgorithm === 'SHA512' ? entry.packageHash : undefined;
}

/** Downloads into a file. Returns its SHA-512 in base64. */
async function download(url, file) {
  const response = await fetchFrom(url);
  const expected = Number(response.headers.get('content-length') ?? Number.NaN);
  const hash = createHash('sha512');
  let received = 0;
  const count = new Transform({
    transform(chunk, _, done) {
      hash.update(chunk);
      received += chunk.length;
      if (process.stderr.isTTY) process.stderr.write(`\r${Math.round(received / 1e6)} MB`);
      done(null, chunk);
    },
  });
  try {
    await pipeline(Readable.fromWeb(response.body), count, createWriteStream(file));
  } catch (cause) {
    throw new Obstacle(
      `The download broke off (${cause.cause?.code ?? cause.code ?? cause.message}).`,
      'Start it again.',
    );
  } finally {
    if (process.stderr.isTTY) process.stderr.write('\r');
  }
  if (Number.isFinite(expected) && received !== expected)
    throw new Obstacle(`${received} bytes came in the place of ${expected}.`, 'Start it again.');
  return hash.digest('base64');
}

const ELF_X64 = 62;

/** The library's bytes from the package. */
function libraryIn(zip, { file, path }) {
  let bytes;
  try {
    bytes = zip.getEntry(path)?.getData();
  } catch (cause) {
    throw new Obstacle(`${file} is damaged (${cause.message}).`, 'Start the download again.');
  }
  if (bytes === undefined || bytes === null)
    throw new Obstacle(`The package has no ${path}.`, 'The feed is not of this version; name another with --feed.');
  const isLibrary = bytes.length > 64 && bytes.readUInt32BE(0) === 0x7f454c46 && bytes.readUInt16LE(18) === ELF_X64;
  if (!isLibrary)
    throw new Obstacle(`${file} is no library for x64 Linux.`, 'The feed is wrong; name another with --feed.');
  return bytes;
}

async function sha256(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Fetches, compares, unpacks; writes nothing under its own name before everything was compared. */
async function fetchLibraries(wanted, { feed, into }) {
  const index = feed ?? wanted.index;
  const where = await resources(index);
  const { versions } = await json(`${where.content}${wanted.name}/index.json`);
  if (!versions?.includes(wanted.wanted)) {
    throw new Obstacle(
      `The feed has no ${wanted.name} ${wanted.wanted}.`,
      `It must be of the version of ${PACKAGE}; name a feed that has it with --feed.`,
    );
  }
  const stated = await statedDigest(where, wanted);
  mkdirSync(into, { recursive: true });
  const archive = join(into, `${wanted.name}.part`);
  try {
    say('fetching', `${wanted.name} ${wanted.wanted}; some hundred megabytes`);
    const found = await download(
      `${where.content}${wanted.name}/${wanted.wanted}/${wanted.name}.${wanted.wanted}.nupkg`,
      archive,
    );
    if (stated !== undefined && stated !== found) {
      throw new Obstacle(
        'The package is not the one that the feed’s catalogue states: their SHA-512 differ.',
        'Start it again; if that does not help, do not use this feed.',
      );
    }
    say('compared', stated === undefined ? 'nothing: this feed states no digest' : 'SHA-512 is that of the catalogue');
    let zip;
    try {
      zip = new wanted.AdmZip(archive);
    } catch (cause) {
      throw new Obstacle(`The package cannot be opened (${cause.message}).`, 'Start the download again.');
    }
    const libraries = wanted.libraries.map((library) => [library.file, libraryIn(zip, library)]);
    const digests = {};
    for (const [file, bytes] of libraries) {
      writeFileSync(join(into, `${file}.part`), bytes);
      digests[file] = createHash('sha256').update(bytes).digest('hex');
    }
    for (const [file] of libraries) renameSync(join(into, `${file}.part`), join(into, file));
    writeFileSync(join(into, STAMP), JSON.stringify({ version: wanted.version, sha256: digests }));
  } finally {
    for (const file of [archive, ...wanted.libraries.map(({ file }) => join(into, `${file}.part`))])
      rmSync(file, { force: true });
  }
}

/** Why the libraries are not there as they were fetched, or undefined. */
async function whyNotInstalled({ version, libraries }, into) {
  const stamp = join(into, STAMP);
  const missing = libraries.find(({ file }) => !existsSync(join(into, file)));
  if (missing !== undefined) return `${missing.file} is not there`;
  if (!existsSync(stamp)) return undefined; // Put there by other means: the product shows whether they are right.
  const { version: of, sha256: digests } = JSON.parse(readFileSync(stamp, 'utf8'));
  if (of !== version) return `the libraries are of version ${of}, ${PACKAGE} is ${version}`;
  for (const { file } of libraries)
    if ((await sha256(join(into, file))) !== digests[file]) return `${file} was changed`;
  return undefined;
}

/** A graph of one matrix product as an ONNX file, and the product in a process of its own: a driver may end it. */
const probe = `
const { createRequire } = require('node:module');
// As client/src/engine/onnx/no-telemetry.ts.
process.env['ORT_DISABLE_TELEMETRY'] = '1';
const { InferenceSession, Tensor } = createRequire(process.argv[1])('${PACKAGE}');
const varint = (n) => (n < 128 ? [n] : [n % 128 | 128, ...varint(n >> 7)]);
const bytes = (field, value) => [...varint(field * 8 + 2), ...varint(value.length), ...value];
const text = (field, value) => bytes(field, [...Buffer.from(value)]);
const integer = (field, value) => [...varint(field * 8), ...varint(value)];
const port = (name) => [...text(1, name), ...bytes(2, bytes(1, [...integer(1, 1), ...bytes(2, [...bytes(1, text(2, 'n')), ...bytes(1, text(2, 'n'))])]))];
const node = [...text(1, 'a'), ...text(1, 'b'), ...text(2, 'y'), ...text(3, 'product'), ...text(4, 'MatMul')];
const graph = [...bytes(1, node), ...text(2, 'probe'), ...bytes(11, port('a')), ...bytes(11, port('b')), ...bytes(12, port('y'))];
const model = Uint8Array.from([...integer(1, 8), ...bytes(7, graph), ...bytes(8, [...text(1, ''), ...integer(2, 17)])]);
const n = 64;
const a = Float32Array.from({ length: n * n }, (_, i) => (i % 7) - 3);
const b = Float32Array.from({ length: n * n }, (_, i) => (i % 5) - 2);
(async () => {
  const session = await InferenceSession.create(model, { executionProviders: ['cuda'], logSeverityLevel: 4 });
  const { y } = await session.run({ a: new Tensor('float32', a, [n, n]), b: new Tensor('float32', b, [n, n]) });
  let wrong = 0;
  for (let i = 0; i < n * n; i++) {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[i - (i % n) + k] * b[k * n + (i % n)];
    if (sum !== y.data[i]) wrong++;
  }
  console.log(JSON.stringify({ wrong }));
})().catch((error) => { console.error(error.message); process.exitCode = 1; });
`;

function tryProduct() {
  const probed = run(process.execPath, ['-e', probe, import.meta.filename], {
    env: { ...process.env, NVIDIA_TF32_OVERRIDE: '0' },
  });
  if (probed.status !== 0) {
    throw new Obstacle(
      `CUDA does not work:\n${tail(probed, 6)}`,
      'Where a library such as libcublasLt.so.12 or libcudnn.so.9 is missing, install CUDA 12 and cuDNN 9; else read the output above.',
    );
  }
  const { wrong } = JSON.parse(probed.stdout.trim().split('\n').at(-1));
  if (wrong > 0)
    throw new Obstacle(`A matrix product has ${wrong} wrong values of 4096.`, 'Report it with the GPU and its driver.');
  say('cuda', 'works; `fedlora doctor` tests it further');
}

async function main(args) {
  const { values } = parseArgs({
    args,
    options: {
      check: { type: 'boolean', default: false },
      feed: { type: 'string' },
      'no-driver-check': { type: 'boolean', default: false },
      into: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const wanted = plan();
  const into = values.into ?? wanted.folder;
  say('package', `${PACKAGE} ${wanted.version}, ${wanted.requirement}`);
  const hasDriver = hasNvidiaDriver();
  if (!hasDriver && !values['no-driver-check']) {
    throw new Obstacle(
      'This machine has no NVIDIA driver.',
      'Install the driver of the GPU first; for other GPUs use the device webgpu, which needs nothing to be fetched.',
    );
  }
  const whyNot = await whyNotInstalled(wanted, into);
  if (whyNot !== undefined && values.check)
    throw new Obstacle(`CUDA is not installed: ${whyNot}.`, 'Run "npm run gpu:install".');
  if (whyNot !== undefined) await fetchLibraries(wanted, { feed: values.feed, into });
  say('libraries', `${whyNot === undefined ? 'are there already' : 'are there now'}: ${into}`);
  if (hasDriver && values.into === undefined) tryProduct();
  else say('cuda', 'not tried');
}

await perform(main);
