/**
 * Which of onnxruntime's devices work on this machine, and how fast they multiply matrices.
 *
 * Asked in a process of its own: what a driver does when it fails, writing to the terminal or ending the process, happens there.
 * The time is measured because the binding does not say what is behind WebGPU. A GPU in software, such as SwiftShader or llvmpipe,
 * is a thousand times slower than the processor that it runs on, and must not be chosen because it is there.
 */

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import './no-telemetry.js';
import { profileOf, type OnnxDevice } from './device.js';
import { GraphBuilder } from './graph.js';

/** What was found: the time of PRODUCTS products of LARGE matrices, or why the device cannot be used. */
export type DeviceProbe =
  | { readonly device: OnnxDevice; readonly milliseconds: number }
  | { readonly device: OnnxDevice; readonly whyNot: string };

export function inMilliseconds(milliseconds: number): string {
  return `${milliseconds < 10 ? milliseconds.toPrecision(2) : Math.round(milliseconds)} ms`;
}

/** Products of the first size, which is for finding out whether the second, 64 times the work, is worth waiting for. */
const SMALL = 128;
const LARGE = 512;
const PRODUCTS = 4;

/** What `milliseconds` is the time of. */
export const PROBED_WORK = `${PRODUCTS} products of ${LARGE} x ${LARGE} matrices`;

/** A device whose small products take this long, in ms, is not asked for large ones: they would take seconds or minutes. */
const TOO_SLOW_MS = 50;

/** More than a driver needs to start and to compile a handful of kernels. */
const PATIENCE_MS = 120_000;

const require = createRequire(import.meta.url);

/** Runs in the other process, which has no more of ours than this. Time in ms of the best of three runs after one to warm up. */
const program = `
const [, runtime, request] = process.argv;
const { InferenceSession, Tensor } = require(runtime);
const { device, sizes, graph, tooSlow } = JSON.parse(request);
(async () => {
  const providers = device === 'cpu' ? ['cpu'] : [device, 'cpu'];
  const session = await InferenceSession.create(Buffer.from(graph, 'base64'), { executionProviders: providers, logSeverityLevel: 4 });
  let milliseconds = Infinity;
  for (const n of sizes) {
    const x = new Tensor('float32', new Float32Array(n * n).fill(1 / n), [n, n]);
    await session.run({ x });
    let best = Infinity;
    for (let i = 0; i < 3; i++) {
      const begin = performance.now();
      await session.run({ x });
      best = Math.min(best, performance.now() - begin);
    }
    milliseconds = n === sizes.at(-1) ? best : best > tooSlow ? best * (sizes.at(-1) / n) ** 3 : milliseconds;
    if (Number.isFinite(milliseconds)) break;
  }
  console.log(JSON.stringify({ milliseconds }));
})().catch((error) => console.log(JSON.stringify({ whyNot: error.message })));
`;

const results = new Map<OnnxDevice, Promise<DeviceProbe>>();

/** Asks once in a process; later calls give the same answer. */
export function probeDevice(device: OnnxDevice): Promise<DeviceProbe> {
  let result = results.get(device);
  if (result === undefined) {
    result = ask(device);
    results.set(device, result);
  }
  return result;
}

async function ask(device: OnnxDevice): Promise<DeviceProbe> {
  // Asked for a library that is not there, the runtime writes to the terminal.
  if (device === 'cuda' && !existsSync(cudaProviderPath()))
    return { device, whyNot: 'its provider library is not installed; "npm run gpu:install" fetches it' };
  const request = {
    device,
    sizes: [SMALL, LARGE],
    graph: Buffer.from(productGraph(device)).toString('base64'),
    tooSlow: TOO_SLOW_MS,
  };
  const args = ['-e', program, require.resolve('onnxruntime-node'), JSON.stringify(request)];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: PATIENCE_MS }, (error, stdout) => {
      const answer = parseAnswer(stdout);
      if (answer === undefined)
        resolve({
          device,
          whyNot: `its driver ended the process it was tried in (${error?.signal ?? error?.code ?? 0})`,
        });
      else if ('milliseconds' in answer) resolve({ device, milliseconds: answer.milliseconds });
      else resolve({ device, whyNot: causeOf(answer.whyNot) });
    });
  });
}

/** The largest of x multiplied PRODUCTS times by itself: one number to copy back, whatever the size. */
function productGraph(device: OnnxDevice): Uint8Array {
  const graph = new GraphBuilder(profileOf(device));
  const x = graph.input('x', 'float32', ['n', 'n']);
  let y = x;
  for (let i = 0; i < PRODUCTS; i++) y = graph.matmul(y, x);
  graph.output('largest', graph.op('ReduceMax', [y], { axes: [0, 1], keepdims: 0 }), 'float32', []);
  return graph.build().bytes;
}

/** Where the runtime looks for CUDA's provider. */
export function cudaProviderPath(): string {
  const root = dirname(require.resolve('onnxruntime-node/package.json'));
  return join(root, 'bin/napi-v6', process.platform, process.arch, 'libonnxruntime_providers_cuda.so');
}

function parseAnswer(stdout: string): { milliseconds: number } | { whyNot: string } | undefined {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1)!) as { milliseconds: number } | { whyNot: string };
  } catch {
    return undefined; // It ended before it could answer.
  }
}

/** What a message of the runtime says, without the place in its sources before it. */
function causeOf(message: string): string {
  if (message.includes('No supported adapters'))
    return 'no GPU with a driver for Vulkan, Metal or Direct3D 12 was found';
  const text = message.split('\n')[0].replace(/^.* was false\. /, '');
  return text.trim();
}
