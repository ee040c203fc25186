/** How much memory training takes, as lines for people. */

import { memoryKinds, memoryTitles, type FittedPlan, type MemoryKind } from '@fedlora/shared';
import type { ModelConfig } from '../engine/weights/base-model.js';

const MIB = 2 ** 20;

const TITLE_COLUMNS = 44;
const NUMBER_COLUMNS = 10;

/** What is held and how much of it, in MiB; at most 100 columns. What holds nothing is left out. */
export function memoryTable({ memory }: FittedPlan, config: ModelConfig, availableBytes: number): readonly string[] {
  const line = (title: string, bytes: number, note = ''): string =>
    `  ${title.padEnd(TITLE_COLUMNS)}${mib(bytes).padStart(NUMBER_COLUMNS)}${note === '' ? '' : `   ${note}`}`;
  const notes: Partial<Record<MemoryKind, string>> = {
    kept: `${memory.keptBlocks} of ${config.num_hidden_layers} blocks`,
  };
  const rule = `  ${'-'.repeat(TITLE_COLUMNS + NUMBER_COLUMNS)}`;
  return [
    `  ${'held at the fullest moment'.padEnd(TITLE_COLUMNS)}${'MiB'.padStart(NUMBER_COLUMNS)}`,
    rule,
    ...memoryKinds
      .filter((kind) => memory.bytes[kind] > 0)
      .map((kind) => line(memoryTitles[kind], memory.bytes[kind], notes[kind])),
    rule,
    line('in all', memory.totalBytes, `of it the base at rest ${mib(memory.baseBytes)}`),
    line('free', availableBytes),
  ];
}

/** The plan and what it takes, for the log. */
export function planLines(fitted: FittedPlan, config: ModelConfig, availableBytes: number): readonly string[] {
  const { totalBytes } = fitted.memory;
  return [
    `plan: ${describePlan(fitted, config)}`,
    `memory: about ${mib(totalBytes)} MiB; ${mib(availableBytes)} MiB are free`,
  ];
}

/** How a model is computed, in words. */
export function describePlan({ plan, memory }: FittedPlan, { num_hidden_layers: blocks }: ModelConfig): string {
  const weights = { nf4: 'NF4 weights', dense: 'f32 weights', merged: 'f32 weights, merged' };
  const structure =
    plan.structure === 'whole'
      ? 'one graph'
      : `a graph per block, activations of ${memory.keptBlocks} of ${blocks} blocks kept`;
  return `${weights[plan.weights]}, ${structure}, ${plan.rows} tokens at a time`;
}

/** Under 10 MiB with a decimal, so that small models have numbers too. */
function mib(bytes: number): string {
  const value = bytes / MIB;
  return Number.isFinite(value) ? value.toFixed(value < 10 ? 1 : 0) : 'unlimited';
}
