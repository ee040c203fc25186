/** config.yaml: how this program runs on this machine. Nothing in it can weaken privacy; that is policy.yaml's and the manifest's. */

import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { givenFormatNames, type GivenFormatName } from '../data/row-formats.js';
import { checkDevice, deviceNames, engineNames, type DeviceName, type EngineName } from '../engine/open-engine.js';
import { statusAddress, type StatusAddress } from './status-address.js';
import { writeAtomically } from '../storage/atomic-file.js';
import { DATASET_NAME } from '../storage/ledger-chain.js';
import { isSafeAddress } from './address.js';
import { matching, numberBetween, oneOf, printSettings, readSettings, text, texts, wholeBetween } from './settings.js';
import type { ReadSettings, Setting } from './settings.js';

export interface ClientConfig {
  /** Base URL of the coordinator. */
  readonly coordinator: string;
  readonly organisation: string;
  /** Folder of the base model. */
  readonly base: string | undefined;
  readonly dataset: {
    readonly name: string;
    readonly files: readonly string[];
    readonly format: GivenFormatName;
    /** File of made-up rows that are learned from as well; `undefined`: none. */
    readonly canaries: string | undefined;
  };
  readonly engine: {
    readonly name: EngineName;
    readonly device: DeviceName;
    readonly threads: number;
    /** Tokens, padding included, that one call of the engine works on. */
    readonly tokensPerBatch: number;
  };
  /** What training may take of this machine; see also `hours` and `gpuHoursPerPeriod` of the policy. */
  readonly limits: {
    readonly memoryMiB: number | undefined;
    readonly gpuBusyPercent: number | undefined;
    /** 0 to 19. */
    readonly nice: number;
  };
  readonly keepVersions: number;
  /** Where the status page listens; `undefined`: nowhere. */
  readonly statusPage: StatusAddress | undefined;
  readonly logLevel: 'error' | 'warn' | 'info' | 'debug';
}

export const configSettings: readonly Setting<unknown>[] = [
  {
    key: 'coordinator',
    comment: 'Address of the coordinator. This machine only ever connects out, to this address.',
    kind: {
      expected: 'an https address; http only for this machine (localhost, 127.0.0.1, ::1), so put TLS in front of it',
      schema: { type: 'string', format: 'uri' },
      read: (input) => (typeof input === 'string' && !/\s/.test(input) && isSafeAddress(input) ? input : undefined),
    },
    required: true,
    variable: 'FEDLORA_COORDINATOR',
  },
  {
    key: 'organisation',
    comment: 'Name under which this organisation is enrolled.',
    kind: matching(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, 'lower-case letters, digits and hyphens'),
    required: true,
  },
  {
    key: 'base',
    comment: 'Folder of the base model (Hugging Face layout). Its content must have the digest that a run names.',
    kind: text,
    variable: 'FEDLORA_BASE',
  },
  {
    key: 'dataset.name',
    comment:
      'Name of the data set; the privacy ledger is kept per data set. Rows that were in a data set of another name are known again, and bring what was spent under it.',
    kind: matching(DATASET_NAME, 'lower-case letters, digits, dots, hyphens and underscores'),
    fallback: 'default',
  },
  {
    key: 'dataset.files',
    comment: 'Files of rows: .jsonl, .json (an array), .csv or .parquet. They are read here and never leave.',
    kind: texts,
    fallback: [],
  },
  {
    key: 'dataset.format',
    comment:
      'How rows are written: alpaca (instruction, input, output), chat (messages), text (text), or auto, which looks at the first row. `fedlora data check` says what it finds.',
    kind: oneOf(givenFormatNames),
    fallback: 'auto',
  },
  {
    key: 'dataset.canaries',
    comment:
      'A file of canaries, which `fedlora audit canaries` makes: made-up rows that are learned from beside the others, so that an audit can find out how much an adapter tells about single rows. Only where policy.yaml has canaries: "allowed".',
    kind: text,
  },
  {
    key: 'engine.name',
    comment: 'What computes: onnx (onnxruntime), or tfjs (TensorFlow.js) for sites that run TensorFlow.',
    kind: oneOf(engineNames),
    fallback: 'onnx',
    variable: 'FEDLORA_ENGINE',
  },
  {
    key: 'engine.device',
    comment:
      'Where training runs: auto, cpu, webgpu or cuda with onnx; auto, node-gpu, node, wasm or cpu with tfjs. auto takes the fastest that works; `fedlora doctor` shows what does.',
    kind: oneOf(deviceNames),
    fallback: 'auto',
    variable: 'FEDLORA_DEVICE',
  },
  {
    key: 'engine.threads',
    comment: 'Processor threads that training may use; 0 lets the engine choose.',
    kind: wholeBetween(0, 1024),
    fallback: 0,
    variable: 'FEDLORA_THREADS',
  },
  {
    key: 'engine.tokensPerBatch',
    comment: 'Tokens, padding included, in one call of the engine. More is faster and takes more memory.',
    kind: numberBetween(64, 1 << 20),
    fallback: 2048,
  },
  {
    key: 'limits.memoryMiB',
    comment:
      'Most memory that this program may hold, in MiB. A round in which it holds more is left, unless its update was sent already, and no other is joined until it holds less. Unset: no limit.',
    kind: wholeBetween(128, 1 << 24),
    variable: 'FEDLORA_MEMORY_MIB',
  },
  {
    key: 'limits.gpuBusyPercent',
    comment:
      'No round begins while other programs keep the GPU busy for at least this share of the time, as nvidia-smi tells; CUDA_VISIBLE_DEVICES says which GPUs count. Unset: nobody looks.',
    kind: numberBetween(1, 100),
  },
  {
    key: 'limits.nice',
    comment:
      'How far this program steps back for others on the processor: 0 not at all, 19 as far as can be. It never takes a lower number than it was started with.',
    kind: wholeBetween(0, 19),
    fallback: 0,
  },
  {
    key: 'keepVersions',
    comment: 'Adapter versions kept on disk; the newest stay.',
    kind: wholeBetween(1, 1000),
    fallback: 3,
  },
  {
    key: 'statusPage',
    comment:
      'Where a page with what `fedlora status` says can be looked at from this machine: "127.0.0.1:7401", or "unix:" and the path of a socket, which only the client\'s own user may open. Unset: nowhere; nothing listens.',
    kind: {
      expected: 'a loopback address with its port such as 127.0.0.1:7401, or unix: and the path of a socket',
      schema: { type: 'string', pattern: '^(unix:.+|(localhost|127\\.[\\d.]+|\\[::1\\]):\\d{1,5})$' },
      read: (input) => (typeof input === 'string' && statusAddress(input) !== undefined ? input : undefined),
    },
    variable: 'FEDLORA_STATUS_PAGE',
  },
  {
    key: 'logLevel',
    comment: 'error, warn, info or debug. No level ever logs rows, tokens, losses or norms of a round.',
    kind: oneOf(['error', 'warn', 'info', 'debug']),
    fallback: 'info',
    variable: 'FEDLORA_LOG_LEVEL',
  },
];

const HEADING =
  'Fedlora client: how this program runs on this machine. Unknown keys are errors. `fedlora config show` prints what is in effect.';

export interface LoadedConfig {
  readonly config: ClientConfig;
  readonly sources: ReadSettings;
}

/** Reads config.yaml once; relative paths are relative to the file. @throws FedloraError client/not-enrolled | config/... */
export async function readConfig(path: string, environment: NodeJS.ProcessEnv): Promise<LoadedConfig> {
  const content = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FedloraError('client/not-enrolled', 'There is no such file.', { where: path, cause });
  });
  const sources = readSettings(configSettings, content, path, environment);
  // Safe: the table's kinds give exactly these types.
  const value = <T>(key: string): T => sources.get(key)?.value as T;
  const located = (file: string): string => (isAbsolute(file) ? file : resolve(dirname(path), file));
  const base = value<string | undefined>('base');
  const canaries = value<string | undefined>('dataset.canaries');
  checkDevice(value('engine.name'), value('engine.device'));
  return {
    sources,
    config: Object.freeze({
      coordinator: value<string>('coordinator').replace(/\/+$/, ''),
      organisation: value<string>('organisation'),
      base: base === undefined ? undefined : located(base),
      dataset: {
        name: value<string>('dataset.name'),
        files: value<readonly string[]>('dataset.files').map(located),
        format: value<GivenFormatName>('dataset.format'),
        canaries: canaries === undefined ? undefined : located(canaries),
      },
      engine: {
        name: value<EngineName>('engine.name'),
        device: value<DeviceName>('engine.device'),
        threads: value<number>('engine.threads'),
        tokensPerBatch: value<number>('engine.tokensPerBatch'),
      },
      limits: {
        memoryMiB: value<number | undefined>('limits.memoryMiB'),
        gpuBusyPercent: value<number | undefined>('limits.gpuBusyPercent'),
        nice: value<number>('limits.nice'),
      },
      keepVersions: value<number>('keepVersions'),
      statusPage: statusPageAt(value<string | undefined>('statusPage'), located),
      logLevel: value<ClientConfig['logLevel']>('logLevel'),
    }),
  };
}

function statusPageAt(text: string | undefined, located: (path: string) => string): StatusAddress | undefined {
  const address = text === undefined ? undefined : statusAddress(text);
  return address?.kind === 'unix' ? { ...address, path: located(address.path) } : address;
}

/** Writes a complete, commented config.yaml. */
export async function writeConfig(path: string, values: ReadonlyMap<string, unknown>): Promise<void> {
  await writeAtomically(path, printSettings(configSettings, values, HEADING), { mode: 0o600 });
}
