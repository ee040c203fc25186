/** Opens the engine that was asked for on the device that was asked for, or on the best there is, and says which and why. */

import { FedloraError, makeEnginePlan, type EnginePlan } from '@fedlora/shared';
import type { Engine, LoraConfig } from './engine.js';
import type { OnnxDevice } from './onnx/device.js';
import type { MemoryOptions } from './onnx/engine.js';
import type { TfjsBackend } from './tfjs/backend.js';
import type { BaseModel } from './weights/base-model.js';
import type { QuantizeOptions } from './weights/nf4-store.js';

export type EngineName = Engine['name'];

/** Devices of `onnx` and backends of `tfjs`. */
export type DeviceName = 'auto' | OnnxDevice | TfjsBackend;

export const engineNames: readonly EngineName[] = ['onnx', 'tfjs'];

const devicesOf: Readonly<Record<EngineName, readonly DeviceName[]>> = {
  onnx: ['auto', 'cpu', 'webgpu', 'cuda'],
  tfjs: ['auto', 'node-gpu', 'node', 'wasm', 'cpu'],
};

export const deviceNames: readonly DeviceName[] = [...new Set([...devicesOf.onnx, ...devicesOf.tfjs])];

export interface OpenEngineOptions {
  readonly base: BaseModel;
  readonly lora: LoraConfig;
  readonly quantization: 'nf4' | 'none';
  readonly engine: EngineName;
  readonly device: DeviceName;
  /** Threads within one operation of `onnx` on the processor; all of the machine's by default. */
  readonly threads?: number;
  /** See `OnnxEngineOptions`. `tfjs` computes each example by itself whatever this says. */
  readonly independentExamples?: boolean;
  readonly nf4?: QuantizeOptions;
  /** See `OnnxEngineOptions`; a plan is refused with `tfjs`. */
  readonly plan?: Partial<EnginePlan>;
  readonly memory?: MemoryOptions;
  /** Told once what was opened. */
  readonly onOpened?: (opened: OpenedEngine) => void;
}

/** What was opened, as fields of a log line. */
export interface OpenedEngine {
  readonly engine: EngineName;
  readonly device: string;
  readonly reason: string;
  /** What was not taken, and why not, for each device that was looked at. */
  readonly tried: readonly string[];
}

/**
 * @throws FedloraError config/invalid: the engine has no such device | engine/device-unavailable: not on this machine |
 *         engine/self-test-failed: it computes wrongly; with `auto` the processor is taken instead of a GPU that does
 */
export async function openEngine(options: OpenEngineOptions): Promise<Engine> {
  checkDevice(options.engine, options.device);
  if (options.engine === 'tfjs' && Object.keys(options.plan ?? {}).length > 0) {
    const message = 'The engine tfjs has one way of computing: options of the memory plan belong to onnx.';
    throw new FedloraError('config/invalid', message, { where: 'engine' });
  }
  return options.engine === 'onnx' ? openOnnx(options) : openTfjs(options);
}

/** @throws FedloraError config/invalid */
export function checkDevice(engine: EngineName, device: DeviceName): void {
  if (devicesOf[engine].includes(device)) return;
  const message = `The engine ${engine} has no device "${device}"; it has ${devicesOf[engine].join(', ')}.`;
  throw new FedloraError('config/invalid', message, { where: 'device' });
}

async function openOnnx(options: OpenEngineOptions): Promise<Engine> {
  const { base, lora, quantization, onOpened } = options;
  const { createOnnxEngine } = await import('./onnx/engine.js');
  const { chooseDevice } = await import('./onnx/choose-device.js');
  const wanted = options.device as OnnxDevice | 'auto'; // Safe: `checkDevice` knows which are the engine's.
  const isSmall = makeEnginePlan(base.config, { ...lora, lora_dropout: 0 }, quantization).weights === 'merged';
  const choice = await chooseDevice(wanted, isSmall);
  const tried = choice.tried.map(({ device, whyNot }) => `${device}: ${whyNot}`);
  const open = (device: OnnxDevice): Promise<Engine> =>
    createOnnxEngine({
      base,
      lora,
      quantization,
      device,
      threads: options.threads,
      independentExamples: options.independentExamples ?? false,
      ...(options.nf4 === undefined ? {} : { nf4: options.nf4 }),
      ...(options.plan === undefined ? {} : { plan: options.plan }),
      ...(options.memory === undefined ? {} : { memory: options.memory }),
    });
  try {
    const engine = await open(choice.device);
    onOpened?.({ engine: 'onnx', device: choice.device, reason: choice.reason, tried });
    return engine;
  } catch (error) {
    const isWrong = error instanceof FedloraError && error.code === 'engine/self-test-failed';
    if (!isWrong || wanted !== 'auto' || choice.device === 'cpu') throw error;
    const engine = await open('cpu');
    const reason = `${choice.device} failed the self-test`;
    onOpened?.({ engine: 'onnx', device: 'cpu', reason, tried: [...tried, `${choice.device}: ${error.message}`] });
    return engine;
  }
}

async function openTfjs({ base, lora, quantization, nf4, device, onOpened }: OpenEngineOptions): Promise<Engine> {
  const { createTfjsEngine } = await import('./tfjs/engine.js');
  const backend = device as TfjsBackend | 'auto'; // Safe: as above.
  return createTfjsEngine({
    base,
    lora,
    quantization,
    backend,
    ...(nf4 === undefined ? {} : { nf4 }),
    onDetected: (detection) =>
      onOpened?.({
        engine: 'tfjs',
        device: detection.backend,
        reason: detection.reason,
        tried: detection.tried.map((one) => `${one.backend}: ${one.whyNot}`),
      }),
  });
}
