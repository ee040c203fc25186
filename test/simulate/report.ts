/** What a simulation tells, and how people read it. */

import { cpus } from 'node:os';
import type { SimulationArguments } from './arguments.js';

/** Of many measurements, in milliseconds. */
export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly longest: number;
}

export interface RoundReport {
  readonly number: number;
  readonly outcome: string;
  readonly cause: string | null;
  readonly seconds: number;
  readonly phaseSeconds: Readonly<Record<string, number>>;
  readonly participants: number;
  /** Whose updates are in the sum. */
  readonly contributors: number;
  /** Whether each value of the adapter moved by the mean of just their updates. */
  readonly isSumRight: boolean;
}

export interface SimulationReport {
  readonly options: SimulationArguments & { readonly neighbours: number | null };
  /** Masked words of one organisation. */
  readonly contributionBytes: number;
  readonly enrolSeconds: number;
  /** Until all have signed in, at once, and said hello. */
  readonly connectSeconds: number;
  readonly runSeconds: number;
  readonly outcome: string;
  readonly reason: string | null;
  readonly rounds: readonly RoundReport[];
  /** By what clients waited for; a wait has in it what its own process was busy with. */
  readonly waits: Readonly<Record<string, Spread>>;
  readonly failures: Readonly<Record<string, number>>;
  /** During the run. */
  readonly coordinator: {
    readonly cpuSeconds: number;
    /** When all were connected, before the run. */
    readonly connectedMiB: number;
    readonly peakMiB: number;
    /** Of the JavaScript heap, garbage included, and of buffers outside of it. */
    readonly peakHeapMiB: number;
    readonly peakExternalMiB: number;
    readonly receivedBytes: number;
    readonly sentBytes: number;
  };
  /** During the run, all of their processes together. */
  readonly clients: { readonly cpuSeconds: number; readonly peakMiB: number };
}

/** Nearest rank. */
export function spreadOf(times: readonly number[]): Spread {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (fraction: number): number => sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), longest: at(1) };
}

/** Whether every round ended well, and with the right sum. */
export function isGood({ outcome, rounds, options }: SimulationReport): boolean {
  return outcome === 'completed' && rounds.length >= options.rounds && rounds.every(({ isSumRight }) => isSumRight);
}

export function textOf(report: SimulationReport): string {
  const { options, coordinator, clients, rounds, waits, failures } = report;
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const seconds = (value: number): string => `${value.toFixed(1)} s`;
  const graph = options.neighbours === null ? 'everyone with everyone' : `${options.neighbours} neighbours each`;
  const lines = [
    `${cpus().length} x ${cpus()[0]?.model ?? 'unknown processor'}, Node.js ${process.versions.node}`,
    `${options.clients} clients (${graph}), ${report.contributionBytes / 4} words, dropout ${options.dropout}, ${linkText(options)}`,
    '',
    `enrolled in ${seconds(report.enrolSeconds)}, connected in ${seconds(report.connectSeconds)}, run ${report.outcome} in ${seconds(report.runSeconds)}${report.reason === null ? '' : `: ${report.reason}`}`,
    ...rounds.map(roundText),
    '',
    `clients waited, ms        ${['count', 'p50', 'p95', 'p99', 'longest'].map((name) => name.padStart(9)).join('')}`,
    ...Object.entries(waits).map(([wait, spread]) => waitText(wait, spread)),
    ...Object.entries(failures).map(([what, count]) => `failed ${count} times: ${what}`),
    '',
    `coordinator  ${seconds(coordinator.cpuSeconds)} of CPU, ${Math.round(coordinator.connectedMiB)} MiB before the run, at most ${Math.round(coordinator.peakMiB)} MiB (heap ${Math.round(coordinator.peakHeapMiB)}, buffers ${Math.round(coordinator.peakExternalMiB)}), received ${megabytes(coordinator.receivedBytes)}, sent ${megabytes(coordinator.sentBytes)}`,
    `clients      ${seconds(clients.cpuSeconds)} of CPU, at most ${Math.round(clients.peakMiB)} MiB in ${options.workers} processes`,
  ];
  return lines.join('\n');
}

function linkText({ latencyMs, bandwidthKb }: SimulationArguments): string {
  if (latencyMs === 0 && bandwidthKb === undefined) return 'loopback as it is';
  return `links of ${latencyMs} ms${bandwidthKb === undefined ? '' : ` and ${bandwidthKb} kB/s`}`;
}

function roundText(round: RoundReport): string {
  const phases = Object.entries(round.phaseSeconds).map(([phase, seconds]) => `${phase} ${seconds.toFixed(1)}`);
  const sum = round.isSumRight ? 'the sum is right' : 'NO RIGHT SUM';
  const cause = round.cause === null ? '' : ` (${round.cause})`;
  return `round ${round.number}: ${round.outcome}${cause} in ${round.seconds.toFixed(1)} s, ${round.contributors} of ${round.participants} contributed, ${sum}\n  ${phases.join(', ')}`;
}

function waitText(wait: string, { count, p50, p95, p99, longest }: Spread): string {
  const numbers = [count, p50, p95, p99, longest].map((value) => String(Math.round(value)).padStart(9));
  return `  ${wait.padEnd(24)}${numbers.join('')}`;
}
