/**
 * `npm run bench:engine -- [--json] [--case NAME] [--repeats N]`: the training engine's speed and memory, next to PyTorch's.
 *
 * Programs are measured step by step in turn, each in a process of its own; numbers are medians. Compare ratios within one run only:
 * machines differ, and this one may be busy. The peer is left out, by name, where Python has no torch, transformers and peft; the
 * interpreter is `python3` or what FEDLORA_BENCH_PYTHON names.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { memoryPlan, parseModelConfig } from '@fedlora/client';
import { makeEnginePlan } from '@fedlora/shared';
import { linearParameters, shape135m, shape7bTwoLayers, shapeDemo, writeCheckpoint, type Shape } from './checkpoint.js';
import { benchLora, type StepOptions } from './step-options.js';
import { median, runBench, type BenchCase, type BenchLine, type Measured } from './report.js';
import { byTurns, Stepper } from './stepper.js';

const folder = fileURLToPath(new URL('.', import.meta.url));
const peerScript = fileURLToPath(new URL('../../bench/peers/pytorch_step.py', import.meta.url));
const python = process.env['FEDLORA_BENCH_PYTHON'] ?? 'python3';

/** Tuned in the peer's favour, see the spike's report: 1.7 times its speed without. */
const peerEnvironment = { OMP_WAIT_POLICY: 'PASSIVE', MALLOC_MMAP_MAX_: '0', MALLOC_TRIM_THRESHOLD_: '-1' };

const LENGTH = 256;

const MIB = 2 ** 20;

const peerAbsent = `PyTorch with PEFT (${python} cannot import torch, transformers and peft)`;

let hasPeer: boolean | undefined;

function checkPeer(say: (line: string) => void): boolean {
  if (hasPeer === undefined) {
    hasPeer = spawnSync(python, ['-c', 'import torch, transformers, peft']).status === 0;
    if (!hasPeer) say(`  left out: ${peerAbsent}.`);
  }
  return hasPeer;
}

async function withCheckpoint<Result>(shape: Shape, use: (directory: string) => Promise<Result>): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'fedlora-bench-'));
  try {
    writeCheckpoint(directory, shape);
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function ours(options: StepOptions, name = 'ours'): Promise<Stepper> {
  return Stepper.start(name, process.execPath, [
    '--expose-gc',
    join(folder, 'engine-step.js'),
    JSON.stringify(options),
  ]);
}

function peer(options: Omit<StepOptions, 'clip' | 'plan'>): Promise<Stepper> {
  const environment = { ...peerEnvironment, OMP_NUM_THREADS: String(options.threads) };
  return Stepper.start('PyTorch eager, no clipping', python, [peerScript, JSON.stringify(options)], environment);
}

/** Ours with clipping against PyTorch without. */
function step(shape: Shape, examples: number, threads: number): BenchCase {
  return ({ repeats, say }) =>
    withCheckpoint(shape, async (directory) => {
      const options = { directory, examples, length: LENGTH, threads };
      const steppers = [await ours({ ...options, clip: true })];
      if (checkPeer(say)) steppers.push(await peer(options));
      const [mine, other] = (await byTurns(steppers, repeats)).map((side) => withTokens(side, examples * LENGTH));
      return compared(mine, other);
    });
}

function withTokens(side: Measured & { name: string }, tokens: number): Measured & { name: string } {
  return { ...side, tokensPerSecond: tokens / side.wallSeconds };
}

function compared(ours: Measured, peer: (Measured & { name: string }) | undefined): Omit<BenchLine, 'bench' | 'case'> {
  if (peer === undefined) return { ours, peer: null, ratio: null, absent: peerAbsent };
  const memoryRatio = ours.peakMiB / peer.peakMiB;
  return { ours: { ...ours, memoryRatio }, peer, ratio: peer.cpuSeconds / ours.cpuSeconds };
}

/** Our step with clipping against our step without: `overhead` is the share that clipping adds to the CPU time. */
function clippingOverhead(examples: number): BenchCase {
  return ({ repeats }) =>
    withCheckpoint(shape135m, async (directory) => {
      const options = { directory, examples, length: LENGTH, threads: 1 };
      const steppers = [
        await ours({ ...options, clip: true }),
        await ours({ ...options, clip: false }, 'ours, no clipping'),
      ];
      const [clipped, plain] = await byTurns(steppers, repeats);
      const overhead = clipped.cpuSeconds / plain.cpuSeconds - 1;
      return { ours: { ...clipped, overhead }, peer: plain, ratio: plain.cpuSeconds / clipped.cpuSeconds };
    });
}

/** CPU seconds of a step over tokens and layers, as columns; `linearity` is the worst ratio of a step to the line through the origin. */
const growth: BenchCase = async ({ repeats, say }) => {
  const measure = (layers: number, length: number): Promise<Measured> =>
    withCheckpoint({ ...shape135m, num_hidden_layers: layers }, async (directory) => {
      const options = { directory, examples: 1, length, threads: 1, clip: true };
      const [result] = await byTurns([await ours(options)], repeats);
      say(
        `  ${layers} layers, ${length} tokens: ${result.cpuSeconds.toFixed(3)} CPU s, ${Math.round(result.peakMiB)} MiB`,
      );
      return result;
    });
  const table: Record<string, number> = {};
  let last: Measured | undefined;
  for (const [layers, length] of [
    [30, 64],
    [30, 128],
    [30, 256],
    [30, 512],
    [8, 256],
    [15, 256],
  ] as const) {
    last = await measure(layers, length);
    table[`layers${layers}-tokens${length}-cpuSeconds`] = last.cpuSeconds;
  }
  return { ours: { ...last!, ...table }, peer: null, ratio: null }; // Safe: there are rows.
};

/** Two layers of a 7B: what the base costs while it rests, and a step. */
const sevenB: BenchCase = ({ repeats, say }) =>
  withCheckpoint(shape7bTwoLayers, async (directory) => {
    const options = { directory, examples: 1, length: LENGTH, threads: cpus().length };
    const steppers = [await ours({ ...options, clip: true })];
    if (checkPeer(say)) steppers.push(await peer(options));
    const [mine, other] = await byTurns(steppers, repeats);
    return compared({ ...mine, linearParameters: linearParameters(shape7bTwoLayers) }, other);
  });

/** Peak memory as planned from sizes and as measured, for models of every form; `worstRatio` is that furthest from 1. */
const memory: BenchCase = async ({ repeats, say }) => {
  const table: Record<string, number> = {};
  let last: Measured | undefined;
  let worstRatio = 1;
  const measure = async (name: string, shape: Shape, examples: number, length: number): Promise<void> => {
    const threads = cpus().length;
    const config = parseModelConfig(JSON.stringify(shape));
    const planned = memoryPlan(config, benchLora, makeEnginePlan(config, benchLora, 'nf4'), {
      examples,
      length,
      labels: Math.floor((2 * length) / 3),
      trained: 'both',
      perExample: true,
      hasHalfTables: true,
    });
    last = await withCheckpoint(shape, async (directory) => {
      const stepper = await ours({ directory, examples, length, threads, clip: true });
      const [result] = await byTurns([stepper], repeats);
      return result;
    });
    const plannedMiB = planned.totalBytes / MIB;
    const ratio = plannedMiB / last.peakMiB;
    const numbers = `planned ${Math.round(plannedMiB)} MiB, measured ${Math.round(last.peakMiB)} MiB`;
    say(`  ${name}: ${numbers}, ratio ${ratio.toFixed(3)}`);
    Object.assign(table, { [`${name}-plannedMiB`]: plannedMiB, [`${name}-peakMiB`]: last.peakMiB });
    if (Math.abs(Math.log(ratio)) > Math.abs(Math.log(worstRatio))) worstRatio = ratio;
  };
  await measure('demo-b64', shapeDemo, 64, 64);
  await measure('135m-b1', shape135m, 1, LENGTH);
  await measure('135m-b4', shape135m, 4, LENGTH);
  await measure('7b-two-layers', shape7bTwoLayers, 1, LENGTH);
  return { ours: { ...last!, ...table, worstRatio }, peer: null, ratio: null }; // Safe: there were measurements.
};

/** bf16 weights on disk to NF4 in memory, all linear layers, on all threads; without a cache. */
const quantize: BenchCase = ({ repeats }) =>
  withCheckpoint(shape135m, async (directory) => {
    const runs: Measured[] = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      const child = spawnSync(process.execPath, [join(folder, 'quantize-step.js'), directory], { encoding: 'utf8' });
      if (child.status !== 0) throw new Error(`Quantizing failed: ${child.stderr}`);
      runs.push(JSON.parse(child.stdout) as Measured);
    }
    const of = (name: string): number => median(runs.map((run) => Number(run[name])));
    const names = ['cpuSeconds', 'wallSeconds', 'peakMiB', 'threads', 'parameters', 'parametersPerSecond'] as const;
    const ours = Object.fromEntries(names.map((name) => [name, of(name)])) as unknown as Measured;
    return { ours, peer: null, ratio: null };
  });

const cases: Readonly<Record<string, BenchCase>> = {
  '135m-b1-t256-1thread': step(shape135m, 1, 1),
  '135m-b1-t256-2threads': step(shape135m, 1, 2),
  '135m-b4-t256-1thread': step(shape135m, 4, 1),
  '135m-b4-t256-2threads': step(shape135m, 4, 2),
  'clipping-overhead': clippingOverhead(4),
  growth,
  'quantize-135m': quantize,
  '7b-two-layers': sevenB,
  'memory-plan': memory,
};

await runBench('engine', cases);
