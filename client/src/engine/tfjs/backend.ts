/**
 * Where TensorFlow.js computes: finds a backend that works on this machine, and says why it is that one.
 *
 * Backends   `node-gpu` and `node` are TensorFlow itself behind the native library that `npm run gpu:tensorflow` builds: the one on
 *            a GPU, the other on whatever device it has. `wasm` is XNNPACK on one core; `cpu` is plain JavaScript, tens of times
 *            slower, which always works.
 * TensorFlow.js keeps one current backend per process. An engine therefore names its own before each computation.
 */

import { FedloraError } from '@fedlora/shared';
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';

export type TfjsBackend = 'node-gpu' | 'node' | 'wasm' | 'cpu';

export interface TfjsDetection {
  readonly backend: TfjsBackend;
  /** Why it is this one, for the log. */
  readonly reason: string;
  /** Backends that come first but do not work here. */
  readonly tried: readonly { readonly backend: TfjsBackend; readonly whyNot: string }[];
}

/** In the order of `auto`. */
const automatic: readonly TfjsBackend[] = ['node-gpu', 'node', 'wasm', 'cpu'];

/** Under which name TensorFlow.js knows a backend. */
const registeredName: Record<TfjsBackend, string> = {
  'node-gpu': 'tensorflow',
  node: 'tensorflow',
  wasm: 'wasm',
  cpu: 'cpu',
};

const require = createRequire(import.meta.url);

/** The detection in progress. TensorFlow.js mixes up backends that initialise at the same time, so they take turns. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Loads the first backend that works. It is the current one until somebody else wants another: see `useBackend`.
 *
 * @throws FedloraError engine/device-unavailable - the backend that was asked for does not work here
 */
export function detectTfjsBackend(wanted: TfjsBackend | 'auto' = 'auto'): Promise<TfjsDetection> {
  const detection = turn.then(() => detect(wanted));
  turn = detection.catch(() => undefined);
  return detection;
}

async function detect(wanted: TfjsBackend | 'auto'): Promise<TfjsDetection> {
  // No advice to install other packages on the terminal, and no check for NaN after each operation.
  tf.enableProdMode();
  const tried: { backend: TfjsBackend; whyNot: string }[] = [];
  for (const backend of wanted === 'auto' ? automatic : [wanted]) {
    try {
      await load(backend);
    } catch (error) {
      tried.push({ backend, whyNot: firstLine(error) });
      continue;
    }
    return { backend, reason: reasonFor(backend, wanted), tried };
  }
  const causes = tried.map(({ backend, whyNot }) => `${backend}: ${whyNot}`).join(' ');
  throw new FedloraError('engine/device-unavailable', causes, { where: 'device' });
}

/**
 * Makes a loaded backend the current one, at once.
 *
 * The promise of `tf.setBackend` is left alone on purpose: for a backend that has been loaded it is done when the call returns,
 * and waiting for it would let another engine choose its own in between.
 */
export function useBackend(backend: TfjsBackend): void {
  const name = registeredName[backend];
  // Name and instance disagree for a moment when a backend has initialised while another was in use.
  if (tf.getBackend() !== name || tf.backend() !== tf.findBackend(name)) void tf.setBackend(name);
}

/** What computes, for people: the device behind a loaded backend. */
export function deviceName(backend: TfjsBackend): string {
  switch (backend) {
    case 'node-gpu':
    case 'node':
      return `tensorflow ${usesGpu() ? 'gpu' : 'cpu'}`;
    case 'wasm':
      return 'wasm';
    case 'cpu':
      return 'javascript';
    default:
      return backend satisfies never;
  }
}

/** Whether the current backend computes on a GPU. */
export function usesGpu(): boolean {
  const { isUsingGpuDevice } = tf.backend() as { isUsingGpuDevice?: boolean };
  return isUsingGpuDevice === true;
}

/** @throws when the backend does not work; the error says why */
async function load(backend: TfjsBackend): Promise<void> {
  switch (backend) {
    case 'node-gpu':
    case 'node':
      loadNative();
      break;
    case 'wasm':
      await initialiseWasm();
      break;
    case 'cpu':
      break;
    default:
      backend satisfies never;
  }
  if (!(await tf.setBackend(registeredName[backend]))) throw new Error('TensorFlow.js could not initialise it.');
  if (backend === 'node-gpu' && !usesGpu()) throw new Error('TensorFlow loads, but sees no GPU.');
}

let isWasmInitialised = false;

/**
 * Compiles the wasm module before TensorFlow.js is told of it: while it initialises a backend by itself, every other backend is
 * refused, also to engines that have long been computing.
 */
async function initialiseWasm(): Promise<void> {
  if (isWasmInitialised) return;
  setWasmPaths(dirname(require.resolve('@tensorflow/tfjs-backend-wasm')) + sep);
  const compile = tf.findBackendFactory('wasm');
  const backend = await withoutNewProcessListeners(async () => compile());
  tf.removeBackend('wasm');
  tf.registerBackend('wasm', () => backend);
  isWasmInitialised = true;
}

/** Registers the native backend. @throws where the optional package or its native library is missing */
function loadNative(): void {
  restoreUtil(require('node:util') as Record<string, unknown>);
  try {
    require('@tensorflow/tfjs-node-gpu');
  } catch (cause) {
    throw new Error(`Its native library does not load (${firstLine(cause)}). Run "npm run gpu:tensorflow".`, { cause });
  }
}

/**
 * Gives Node's `util` back two functions that Node 23 removed and tfjs-node 4.22 calls.
 *
 * Source     tensorflow/tfjs#8609: fixed there, not released
 */
export function restoreUtil(util: Record<string, unknown>): void {
  util['isNullOrUndefined'] ??= (value: unknown) => value === null || value === undefined;
  util['isArray'] ??= Array.isArray;
}

/**
 * The wasm glue code takes over uncaught exceptions and rejections of the whole process, which are the program's own affair;
 * what it adds is removed again.
 */
async function withoutNewProcessListeners<T>(work: () => Promise<T>): Promise<T> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => new Set<unknown>(process.listeners(event as 'uncaughtException')));
  try {
    return await work();
  } finally {
    events.forEach((event, i) => {
      for (const listener of process.listeners(event as 'uncaughtException')) {
        if (!before[i].has(listener)) process.removeListener(event, listener);
      }
    });
  }
}

function reasonFor(backend: TfjsBackend, wanted: TfjsBackend | 'auto'): string {
  if (wanted !== 'auto') return `${backend} was asked for`;
  switch (backend) {
    case 'node-gpu':
      return 'the native library loads and sees a GPU';
    case 'node':
      return 'the native library loads, without a GPU';
    case 'wasm':
      return 'the native library does not load, WebAssembly does';
    case 'cpu':
      return 'nothing faster loads';
    default:
      return backend satisfies never;
  }
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0].trim();
}
