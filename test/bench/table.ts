/** One table of what all benches measured: pure, from their lines to rows, and from rows to text. */

import type { SimulationReport } from '../simulate/report.js';
import type { BenchLine, Measured } from './report.js';

/** One number, with what it is held against. */
export interface Row {
  readonly bench: string;
  readonly case: string;
  readonly measure: string;
  readonly value: number;
  readonly unit: string;
  /** A target, or what another program needed for the same: `name` says which. */
  readonly beside: { readonly name: string; readonly value: number } | null;
  /** How many times better than what is beside it: over 1 is better. */
  readonly ratio: number | null;
}

interface Measure {
  readonly text: string;
  readonly unit: string;
  readonly better: 'less' | 'more';
}

/** What the table shows of a line, in this order; a line holds more, which its own bench prints. */
const measures: Readonly<Record<string, Measure>> = {
  cpuSeconds: { text: 'CPU time', unit: 's', better: 'less' },
  wallSeconds: { text: 'wall time', unit: 's', better: 'less' },
  peakMiB: { text: 'peak memory', unit: 'MiB', better: 'less' },
  tokensPerSecond: { text: 'tokens', unit: '1/s', better: 'more' },
  parametersPerSecond: { text: 'parameters', unit: '1/s', better: 'more' },
  overhead: { text: 'what clipping adds', unit: 'of CPU time', better: 'less' },
  worstRatio: { text: 'planned by measured memory, worst', unit: '', better: 'less' },
  mibPerSecond: { text: 'throughput', unit: 'MiB/s', better: 'more' },
  ofPeer: { text: 'throughput by the peer’s', unit: '', better: 'more' },
  medianMs: { text: 'answer, median', unit: 'ms', better: 'less' },
  p95Ms: { text: 'answer, 95 of 100', unit: 'ms', better: 'less' },
  tenAtOnceMedianMs: { text: 'answer, ten at once, median', unit: 'ms', better: 'less' },
  millionSamplesPerCpuSecond: { text: 'samples by CPU time', unit: 'million/s', better: 'more' },
  bytesPerParameter: { text: 'sent by a parameter', unit: 'bytes', better: 'less' },
};

/** Rows of a line: its own case, then the same for other sizes. */
export function rowsOf(line: BenchLine): Row[] {
  const { growth, ...ours } = line.ours as Measured & { growth?: readonly Measured[] };
  const rows = measuredRows(line, line.case, ours);
  for (const other of growth ?? []) {
    const size = ['n', 'd', 'samples'].filter((name) => name in other).map((name) => `${name} ${other[name]}`);
    rows.push(...measuredRows({ ...line, peer: null }, `${line.case}: ${size.join(', ')}`, other));
  }
  return rows;
}

function measuredRows({ bench, peer }: BenchLine, name: string, ours: Measured): Row[] {
  return Object.entries(measures).flatMap(([key, { text, unit, better }]) => {
    const value = ours[key];
    if (typeof value !== 'number') return [];
    const target = targetOf(ours, key);
    const other = peer?.[key];
    const beside =
      target !== undefined
        ? { name: 'target', value: target }
        : typeof other === 'number'
          ? { name: peer?.name ?? 'peer', value: other }
          : null;
    const ratio = beside === null ? null : better === 'less' ? beside.value / value : value / beside.value;
    return [{ bench, case: name, measure: text, value, unit, beside, ratio }];
  });
}

/** The protocol's lines hold `target: { cpuSeconds }`, the registry's `targetMedianMs`. */
function targetOf(ours: Measured, key: string): number | undefined {
  const { target } = ours as { target?: Readonly<Record<string, number>> };
  const flat = ours[`target${key[0].toUpperCase()}${key.slice(1)}`];
  return target?.[key] ?? (typeof flat === 'number' ? flat : undefined);
}

/** Rows of a simulation: the last of its rounds, and what the coordinator and the clients used in the whole run. */
export function rowsOfSimulation({ options, rounds, coordinator, clients }: SimulationReport): Row[] {
  const name = `${options.clients} clients, ${options.params} parameters`;
  const row = (measure: string, value: number, unit: string): Row => {
    return { bench: 'simulate', case: name, measure, value, unit, beside: null, ratio: null };
  };
  return [
    row('coordinator, CPU time', coordinator.cpuSeconds, 's'),
    row('clients, CPU time', clients.cpuSeconds, 's'),
    row('last round, wall time', rounds.at(-1)?.seconds ?? Number.NaN, 's'),
    row('coordinator, peak memory', coordinator.peakMiB, 'MiB'),
    row('clients, peak memory', clients.peakMiB, 'MiB'),
    row('coordinator received', coordinator.receivedBytes / 1e6, 'MB'),
    row('coordinator sent', coordinator.sentBytes / 1e6, 'MB'),
  ];
}

/** Columns under their names, as wide as they need to be. */
export function textOfRows(rows: readonly Row[]): string {
  const cells = rows.map(({ bench, case: name, measure, value, unit, beside, ratio }) => [
    `${bench} ${name}`,
    measure,
    spelled(value),
    unit,
    beside === null ? '' : `${beside.name} ${spelled(beside.value)}`,
    ratio === null ? '' : ratio.toFixed(2),
  ]);
  const table = [['bench', 'measure', 'value', 'unit', 'target or peer', 'ratio'], ...cells];
  const widths = table[0].map((_, column) => Math.max(...table.map((line) => line[column].length)));
  const isNumber = [false, false, true, false, false, true];
  return table
    .map((line) => {
      const padded = line.map((cell, at) => (isNumber[at] ? cell.padStart(widths[at]) : cell.padEnd(widths[at])));
      return padded.join('  ').trimEnd();
    })
    .join('\n');
}

/** Three digits that count, and never an exponent. */
function spelled(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)));
}
