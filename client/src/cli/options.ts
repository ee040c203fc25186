/** Options that several commands share. */

import { InvalidArgumentError, Option } from 'commander';
import type { RowFormat } from '../data/rows.js';
import { deviceNames, engineNames } from '../engine/open-engine.js';

export function homeOption(): Option {
  return new Option('--home <dir>', 'folder of this client (default: FEDLORA_HOME, else ~/.fedlora)');
}

export function jsonOption(): Option {
  return new Option('--json', 'print JSON');
}

export function cacheOption(): Option {
  return new Option('--no-cache', 'keep no quantized weights in the cache folder of this client');
}

export function engineOption(): Option {
  return new Option('--engine <name>', 'what computes').choices(engineNames).default('onnx');
}

export function deviceOption(): Option {
  return new Option(
    '--device <name>',
    'where: auto, cpu, webgpu or cuda; with --engine tfjs auto, node-gpu, node, wasm or cpu. auto takes the fastest',
  )
    .choices(deviceNames)
    .default('auto');
}

/** How rows and questions are written, as the command line calls it. */
export type FormatName = 'alpaca' | 'chat' | 'text';

export const rowFormats: Readonly<Record<FormatName, RowFormat>> = { alpaca: 'alpaca', chat: 'messages', text: 'text' };

export function formatOption(description: string): Option {
  return new Option('--format <name>', description).choices(Object.keys(rowFormats)).default('alpaca');
}

/** Collects an option that may be given several times. */
export function several(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text.trim()) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(Number.isFinite(value) && value > 0))
    throw new InvalidArgumentError('It must be a number over zero.');
  return value;
}

export function numberAtLeastZero(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(Number.isFinite(value) && value >= 0))
    throw new InvalidArgumentError('It must be a number, zero or more.');
  return value;
}

export function shareBelowOne(text: string): number {
  const value = numberAtLeastZero(text);
  if (value >= 1) throw new InvalidArgumentError('It must be a share: at least 0 and below 1.');
  return value;
}

export function publicKey(text: string): string {
  const key = text.trim().toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(key)) throw new InvalidArgumentError('A key has 64 hex digits.');
  return key;
}
