/**
 * `npm run gpu:tensorflow`: builds the native library of @tensorflow/tfjs-node-gpu against a current TensorFlow.
 *
 * The package's own install script fetches TensorFlow 2.9 for CUDA 11, which knows no GPU made since 2022. Its binding compiles
 * against the C library inside the TensorFlow wheel for Python, which brings its own CUDA. One build serves CPU and GPU: which
 * of them computes depends on the wheel.
 * Nothing of this runs at `npm install`. Plain JavaScript without dependencies, since it runs before anything is built.
 */

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { hasNvidiaDriver, Obstacle, packageFolder, perform, run, say, tail, works } from './gpu-script.mjs';

const PACKAGE = '@tensorflow/tfjs-node-gpu';

/** The oldest TensorFlow this was built and run with; below the next major version its C interface is stable. */
const OLDEST = '2.21';

/** Where the package looks for its binding: Node-API 8, the newest that it knows. */
const BINDING = 'lib/napi-v8/tfjs_binding.node';

/** Beside the binding: what it was built against. */
const STAMP = 'lib/fedlora-build.json';

const usage = `Usage: npm run gpu:tensorflow -- [options]

Builds the native TensorFlow backend of the tfjs engine, and runs one matrix product on it.

  --check           build nothing; say what is there (exit code 0 if the backend works, 1 if not)
  --python PROGRAM  take the TensorFlow installed in this Python (default: python3, then one installed into the cache)
  --cpu             install TensorFlow without CUDA, also on a machine with an NVIDIA driver
  --cache FOLDER    where TensorFlow is installed if no Python has it (default: ~/.cache/fedlora/tensorflow)
`;

/** Whether `version` is at least `oldest` and of the same major version. Both start with numbers and dots. */
export function isUsable(version, oldest = OLDEST) {
  const [major, minor] = version.split('.').map(Number);
  const [oldestMajor, oldestMinor] = oldest.split('.').map(Number);
  return major === oldestMajor && minor >= oldestMinor;
}

function checkPlatform() {
  if (process.platform === 'linux') return;
  throw new Obstacle(
    `The build is for Linux; this is ${process.platform}.`,
    'Use the onnx engine, or the tfjs engine on its wasm backend.',
  );
}

/** Asks a Python, without importing TensorFlow, which takes seconds. */
const findWheel = `
import importlib.metadata, importlib.util, json
spec = importlib.util.find_spec("tensorflow")
names = [] if spec is None else [d.metadata["Name"] for d in importlib.metadata.distributions()
    if (d.metadata["Name"] or "").lower().replace("-", "_") in ("tensorflow", "tensorflow_cpu", "tensorflow_gpu", "tensorflow_rocm")]
print(json.dumps(None if not names else {"folder": list(spec.submodule_search_locations)[0],
    "name": names[0], "version": importlib.metadata.version(names[0])}))
`;

/** The TensorFlow wheel of a Python, or why it has none that will do. */
function wheelOf(python) {
  const asked = run(python, ['-c', findWheel]);
  if (asked.status !== 0) return { whyNot: `${python} does not run` };
  const wheel = JSON.parse(asked.stdout.trim().split('\n').at(-1));
  if (wheel === null) return { whyNot: `${python} has no TensorFlow` };
  if (!isUsable(wheel.version)) return { whyNot: `${python} has TensorFlow ${wheel.version}, not ${OLDEST} or later` };
  const missing = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2', 'include/tensorflow/c/c_api.h'].find(
    (file) => !existsSync(join(wheel.folder, file)),
  );
  if (missing !== undefined) return { whyNot: `${wheel.folder} has no ${missing}` };
  return { wheel };
}

const cachePython = (cache) => join(cache, 'bin', 'python');

/** The TensorFlow that is installed, by where it is looked for. */
function installedWheel({ python, cache }) {
  const pythons = python === undefined ? ['python3', cachePython(cache)] : [python];
  const reasons = [];
  for (const one of pythons) {
    const { wheel, whyNot } = wheelOf(one);
    if (wheel !== undefined) return { wheel, reasons };
    reasons.push(whyNot);
  }
  return { wheel: undefined, reasons };
}

/** Installs TensorFlow into a Python environment of its own. */
function installWheel(options) {
  const { cache } = options;
  const requirement = options.cpu || !hasNvidiaDriver() ? 'tensorflow-cpu' : 'tensorflow[and-cuda]';
  say('tensorflow', `installing ${requirement} into ${cache}; a minute or more`);
  if (!existsSync(cachePython(cache))) {
    const made = run('python3', ['-m', 'venv', cache]);
    if (made.status !== 0) {
      rmSync(cache, { recursive: true, force: true });
      throw new Obstacle(
        `A Python environment could not be made:\n${tail(made)}`,
        'Install Python 3.10 or later with its venv module (Debian: apt install python3-venv).',
      );
    }
  }
  const args = ['-m', 'pip', 'install', '--disable-pip-version-check', `${requirement}>=${OLDEST},<3`];
  const installed = run(cachePython(cache), args);
  if (installed.status !== 0) {
    throw new Obstacle(
      `pip could not install ${requirement}:\n${tail(installed, 6)}`,
      `Look whether pip reaches an index with a wheel of TensorFlow ${OLDEST} or later for this Python, or name a Python that has one: npm run gpu:tensorflow -- --python PROGRAM`,
    );
  }
  const { wheel, whyNot } = wheelOf(cachePython(cache));
  if (wheel === undefined)
    throw new Obstacle(`${whyNot}, although pip has just installed it.`, `Remove ${cache} and try again.`);
  return wheel;
}

function wheelFor(options) {
  const { wheel, reasons } = installedWheel(options);
  if (wheel !== undefined) return wheel;
  if (options.python === undefined) return installWheel(options);
  throw new Obstacle(
    `${reasons.join('. ')}.`,
    `Install it there: ${options.python} -m pip install "tensorflow>=${OLDEST}"`,
  );
}

function checkCompiler() {
  const missing = ['make', process.env.CXX ?? 'c++'].find((program) => !works(program, ['--version']));
  if (missing === undefined) return;
  throw new Obstacle(
    `There is no ${missing} to compile the binding with.`,
    'Install a C++ compiler and make (Debian: apt install build-essential).',
  );
}

/** The node-gyp that npm carries. */
function nodeGyp() {
  const prefix = dirname(dirname(process.execPath));
  const npms = [
    ...(process.env.npm_execpath === undefined ? [] : [resolve(dirname(process.env.npm_execpath), '..')]),
    join(prefix, 'lib/node_modules/npm'),
    join(prefix, 'share/nodejs/npm'),
  ];
  const found = npms.map((npm) => join(npm, 'node_modules/node-gyp/bin/node-gyp.js')).find((file) => existsSync(file));
  if (found === undefined)
    throw new Obstacle('npm and the node-gyp inside it were not found.', 'Start this by "npm run gpu:tensorflow".');
  return found;
}

/** Node's own headers, where its installation has them; otherwise node-gyp downloads them. */
function headerArguments() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

/**
 * Points the package at the wheel. The linker finds the libraries by these names; at run time the binding goes to the wheel itself,
 * from where TensorFlow finds the CUDA libraries beside it.
 */
function link(folder, wheel) {
  const deps = join(folder, 'deps');
  rmSync(deps, { recursive: true, force: true });
  mkdirSync(join(deps, 'lib'), { recursive: true });
  symlinkSync(join(wheel.folder, 'include'), join(deps, 'include'));
  symlinkSync(join(wheel.folder, 'libtensorflow_cc.so.2'), join(deps, 'lib/libtensorflow.so'));
  symlinkSync(join(wheel.folder, 'libtensorflow_framework.so.2'), join(deps, 'lib/libtensorflow_framework.so'));
}

function build(folder, wheel) {
  const gyp = nodeGyp();
  const defines = ['module=lib/napi-v8/tfjs_binding.node', 'module_name=tfjs_binding', 'module_path=lib/napi-v8'];
  const versions = ['napi_version=8', 'napi_build_version=8'];
  const args = ['configure', 'build', ...headerArguments(), ...[...defines, ...versions].map((one) => `--${one}`)];
  const built = run(process.execPath, [gyp, ...args], {
    cwd: folder,
    env: { ...process.env, CXXFLAGS: '-std=c++17', LDFLAGS: `-Wl,-rpath,${wheel.folder}` },
  });
  if (built.status !== 0) {
    throw new Obstacle(
      `node-gyp failed:\n${tail(built)}`,
      'Read the output above. Where it is about headers, install Node.js from nodejs.org or with its development files.',
    );
  }
  mkdirSync(join(folder, dirname(BINDING)), { recursive: true });
  copyFileSync(join(folder, 'build/Release/tfjs_binding.node'), join(folder, BINDING));
  writeFileSync(join(folder, STAMP), JSON.stringify({ folder: wheel.folder, version: wheel.version }));
  rmSync(join(folder, 'build'), { recursive: true });
}

/** Loads the backend in a process of its own and multiplies two matrices on it. */
const probe = `
const { createRequire } = require('node:module');
const require_ = createRequire(process.argv[1]);
const tf = require_('${PACKAGE}');
const n = 64;
const a = tf.tensor2d(Float32Array.from({ length: n * n }, (_, i) => (i % 7) - 3), [n, n]);
const b = tf.tensor2d(Float32Array.from({ length: n * n }, (_, i) => (i % 5) - 2), [n, n]);
const found = tf.matMul(a, b).dataSync();
const [x, y] = [a.dataSync(), b.dataSync()];
let wrong = 0;
for (let i = 0; i < n * n; i++) {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += x[i - (i % n) + k] * y[k * n + (i % n)];
  if (sum !== found[i]) wrong++;
}
console.log(JSON.stringify({ wrong, tensorflow: tf.backend().binding.TF_Version, gpu: tf.backend().isUsingGpuDevice }));
`;

/** TensorFlow's version and device as the backend reports them, or why it does not work. */
function tryBackend() {
  const env = { ...process.env, TF_CPP_MIN_LOG_LEVEL: process.env.TF_CPP_MIN_LOG_LEVEL ?? '2' };
  const probed = run(process.execPath, ['-e', probe, import.meta.filename], { env });
  if (probed.status !== 0) return { whyNot: `The backend does not load:\n${tail(probed)}` };
  const answer = JSON.parse(probed.stdout.trim().split('\n').at(-1));
  if (answer.wrong > 0) return { whyNot: `A matrix product has ${answer.wrong} wrong values of 4096.` };
  return { answer };
}

const readStamp = (folder) =>
  existsSync(join(folder, STAMP)) ? JSON.parse(readFileSync(join(folder, STAMP), 'utf8')) : undefined;

/** Says what is there. Returns whether the backend works. */
function check(options) {
  checkPlatform();
  const folder = packageFolder(PACKAGE, 'Run "npm install" without --omit=optional.');
  say('package', folder);
  if (!existsSync(join(folder, BINDING))) {
    const { wheel, reasons } = installedWheel(options);
    const found = wheel === undefined ? reasons.join('; ') : `${wheel.name} ${wheel.version} in ${wheel.folder}`;
    say('tensorflow', found);
    throw new Obstacle('The native TensorFlow backend is not built.', 'Run "npm run gpu:tensorflow".');
  }
  const stamp = readStamp(folder);
  say(
    'binding',
    `built against TensorFlow ${stamp === undefined ? 'of its own' : `${stamp.version} in ${stamp.folder}`}`,
  );
  report(tryBackend());
}

function report({ answer, whyNot }) {
  if (answer === undefined) throw new Obstacle(whyNot, 'Run "npm run gpu:tensorflow"; it builds the binding anew.');
  say('backend', `works: TensorFlow ${answer.tensorflow} on the ${answer.gpu ? 'GPU' : 'CPU'}`);
  if (!answer.gpu && hasNvidiaDriver()) {
    say(
      'note',
      'There is an NVIDIA driver, but this TensorFlow sees no GPU. Install "tensorflow[and-cuda]" in a Python and name it by --python.',
    );
  }
}

function install(options) {
  checkPlatform();
  const folder = packageFolder(PACKAGE, 'Run "npm install" without --omit=optional.');
  say('package', folder);
  const wheel = wheelFor(options);
  say('tensorflow', `${wheel.name} ${wheel.version} in ${wheel.folder}`);
  const stamp = readStamp(folder);
  if (stamp?.folder === wheel.folder && stamp.version === wheel.version && existsSync(join(folder, BINDING))) {
    const tried = tryBackend();
    if (tried.answer !== undefined) {
      say('binding', 'is built already');
      report(tried);
      return;
    }
  }
  checkCompiler();
  for (const old of ['lib', 'build']) rmSync(join(folder, old), { recursive: true, force: true });
  link(folder, wheel);
  say('binding', 'compiling; half a minute');
  build(folder, wheel);
  const tried = tryBackend();
  if (tried.answer === undefined) {
    throw new Obstacle(tried.whyNot, 'Try another TensorFlow: npm run gpu:tensorflow -- --python PROGRAM');
  }
  report(tried);
}

function main(args) {
  const cacheHome = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const { values } = parseArgs({
    args,
    options: {
      check: { type: 'boolean', default: false },
      cpu: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      python: { type: 'string' },
      cache: { type: 'string', default: join(cacheHome, 'fedlora', 'tensorflow') },
    },
  });
  if (values.help) process.stdout.write(usage);
  else if (values.check) check(values);
  else install(values);
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await perform(main);
