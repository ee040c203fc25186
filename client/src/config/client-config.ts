/** config.yaml: how this program runs on this machine. Nothing in it can weaken privacy; that is policy.yaml's and the manifest's. */

import { readFile } from 'node:fs/promises';
import { dirname, isAbsolute, resolve } from 'node:path';
import { FedloraError } from '@fedlora/shared';
import { checkDevice, deviceNames, engineNames, type DeviceName, type EngineName } from '../engine/open-engine.js';
import { writeAtomically } from '../storage/atomic-file.js';
import { isSafeAddress } from './address.js';
import { matching, numberBetween, oneOf, printSettings, readSettings, text, texts, wholeBetween } from './settings.js';
import type { ReadSettings, Setting } from './settings.js';

export interface ClientConfig {
  /** Base URL of the coordinator. */
  readonly coordinator: string;
  readonly organisation: string;
  /** Folder of the base model. */
  readonly base: string | undefined;
  readonly dataset: { readonly name: string; readonly files: readonly string[]; readonly format: 'alpaca' };
  readonly engine: {
    readonly name: EngineName;
    readonly device: DeviceName;
    readonly threads: number;
    /** Tokens, padding included, that one call of the engine works on. */
    readonly tokensPerBatch: number;
  };
  readonly keepVersions: number;
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
      'Name of the data set; the privacy ledger is kept per data set. Give changed data its own name only if no old row is in it.',
    kind: matching(
      /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/,
      'lower-case letters, digits, dots, hyphens and underscores',
    ),
    fallback: 'default',
  },
  {
    key: 'dataset.files',
    comment: 'Files of rows (JSON lines or a JSON array). They are read here and never leave.',
    kind: texts,
    fallback: [],
  },
  { key: 'dataset.format', comment: 'How rows are laid out.', kind: oneOf(['alpaca']), fallback: 'alpaca' },
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
    key: 'keepVersions',
    comment: 'Adapter versions kept on disk; the newest stay.',
    kind: wholeBetween(1, 1000),
    fallback: 3,
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
        format: value<'alpaca'>('dataset.format'),
      },
      engine: {
        name: value<EngineName>('engine.name'),
        device: value<DeviceName>('engine.device'),
        threads: value<number>('engine.threads'),
        tokensPerBatch: value<number>('engine.tokensPerBatch'),
      },
      keepVersions: value<number>('keepVersions'),
      logLevel: value<ClientConfig['logLevel']>('logLevel'),
    }),
  };
}

/** Writes a complete, commented config.yaml. */
export async function writeConfig(path: string, values: ReadonlyMap<string, unknown>): Promise<void> {
  await writeAtomically(path, printSettings(configSettings, values, HEADING), { mode: 0o600 });
}
