/** What every benchmark prints: a JSON line for each case, or a table for people. */

import { parseArgs } from 'node:util';

/** What one side of a case took. Seconds and MiB are medians of interleaved runs. */
export interface Measured {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
  readonly peakMiB: number;
  readonly [more: string]: number | string | boolean;
}

export interface BenchLine {
  readonly bench: string;
  readonly case: string;
  readonly ours: Measured;
  readonly peer: (Measured & { readonly name: string }) | null;
  /** Peer's CPU seconds by ours: over 1, ours is faster. Absent peer, absent ratio. */
  readonly ratio: number | null;
  /** The peer that there would be, and why it is not here. */
  readonly absent?: string;
}

/** Given to a case: how often to repeat, and where to say what is going on. */
export interface BenchContext {
  readonly repeats: number;
  readonly say: (line: string) => void;
}

export type BenchCase = (context: BenchContext) => Promise<Omit<BenchLine, 'bench' | 'case'>>;

const DEFAULT_REPEATS = 5;

/**
 * Runs the cases that the command line asks for: `--case NAME` (several times), `--json`, `--repeats N`, `--list`.
 *
 * Exits with 2 and the names that exist if there is no such case.
 */
export async function runBench(bench: string, cases: Readonly<Record<string, BenchCase>>): Promise<void> {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      case: { type: 'string', multiple: true },
      repeats: { type: 'string', default: String(DEFAULT_REPEATS) },
    },
  });
  const names = values.case ?? Object.keys(cases);
  const unknown = names.filter((name) => !(name in cases));
  const repeats = Number(values.repeats);
  if (unknown.length > 0 || !Number.isInteger(repeats) || repeats < 1) {
    const cause = unknown.length > 0 ? `No case is called ${unknown.join(', ')}.` : `--repeats ${values.repeats}?`;
    process.stderr.write(
      `${cause}\n  what to do: --repeats takes a whole number; cases are ${Object.keys(cases).join(', ')}.\n`,
    );
    process.exitCode = 2;
    return;
  }
  if (values.list) {
    process.stdout.write(`${Object.keys(cases).join('\n')}\n`);
    return;
  }
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  for (const name of names) {
    say(`${bench} ${name} ...`);
    const line: BenchLine = { bench, case: name, ...(await cases[name]({ repeats, say })) };
    process.stdout.write(values.json ? `${JSON.stringify(line)}\n` : `${tableOf(line)}\n`);
  }
}

function tableOf({ case: name, ours, peer, ratio }: BenchLine): string {
  const side = (label: string, { cpuSeconds, wallSeconds, peakMiB, ...more }: Measured): string => {
    const rest = Object.entries(more)
      .filter(([key]) => key !== 'name')
      .map(([key, value]) => `${key} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`);
    const numbers = `${cpuSeconds.toFixed(3)} CPU s  ${wallSeconds.toFixed(3)} s  ${Math.round(peakMiB)} MiB`;
    return `  ${label.padEnd(24)} ${[numbers, ...rest].join('  ')}`;
  };
  const lines = [name, side('ours', ours)];
  if (peer !== null) lines.push(side(peer.name, peer), `  ${ratio!.toFixed(2)} times the peer's speed in CPU time`);
  return lines.join('\n');
}

/** Edge cases an even count -> the lower of the two in the middle */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('The median of nothing.');
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1];
}
