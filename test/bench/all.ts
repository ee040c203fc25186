/**
 * `npm run bench`: every bench, one after the other, in one table. Ends with 1 if a bench failed, 2 for a wrong argument.
 *
 * Each bench is the program of its own command in a process of its own, so that the numbers are those of that command.
 */

import { spawn } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import type { SimulationReport } from '../simulate/report.js';
import { ArgumentError, parseBenchArguments, usage, type BenchArguments, type BenchName } from './arguments.js';
import type { BenchLine } from './report.js';
import { rowsOf, rowsOfSimulation, textOfRows, type Row } from './table.js';

/** Of the compiled program, `test/dist/bench`. */
const root = resolve(import.meta.dirname, '..', '..', '..');

/** What a bench that ended well told. */
interface Told {
  readonly rows: readonly Row[];
  /** Peers that are not installed here, each with what it needs. */
  readonly absent: readonly string[];
}

/** Lines of a bench with `--json`, one for each case. @throws Error if it fails */
async function lines(program: string, args: readonly string[]): Promise<string[]> {
  // What a bench says of its progress goes to the same place as ours.
  const child = spawn(process.execPath, [program, ...args, '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  const code = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done));
  if (code !== 0) throw new Error(code === null ? 'it was ended by a signal' : `it ended with ${code}`);
  return text.split('\n').filter((line) => line !== '');
}

async function cases(program: string, args: readonly string[]): Promise<Told> {
  const told = (await lines(program, args)).map((line) => JSON.parse(line) as BenchLine);
  return { rows: told.flatMap(rowsOf), absent: told.flatMap(({ absent }) => absent ?? []) };
}

async function simulations(sizes: readonly (readonly [clients: number, params: number])[]): Promise<Told> {
  const rows: Row[] = [];
  for (const [clients, params] of sizes) {
    process.stderr.write(`simulate ${clients} clients, ${params} parameters ...\n`);
    const args = ['--clients', String(clients), '--params', String(params)];
    const [report] = await lines(join(root, 'test', 'dist', 'simulate', 'main.js'), args);
    rows.push(...rowsOfSimulation(JSON.parse(report) as SimulationReport));
  }
  return { rows, absent: [] };
}

const named = (...names: readonly string[]): string[] => names.flatMap((name) => ['--case', name]);

const benches: Readonly<Record<BenchName, (quick: boolean) => Promise<Told>>> = {
  engine: (quick) =>
    cases(
      join(import.meta.dirname, 'engine.js'),
      quick ? [...named('135m-b1-t256-1thread'), '--repeats', '1'] : ['--repeats', '3'],
    ),
  registry: (quick) =>
    cases(join(import.meta.dirname, 'registry.js'), quick ? named('conditional') : ['--repeats', '3']),
  protocol: (quick) => {
    const small = ['client-n10-d1e6', 'server-n10-d1e6-2dropped', 'noise-exact', 'bytes-per-parameter'];
    const args = quick ? [...named(...small), '--no-growth'] : [];
    return cases(join(root, 'test', 'bench', 'protocol.mjs'), [...args, '--no-build']);
  },
  simulate: (quick) =>
    simulations(
      quick
        ? [[5, 10_000]]
        : [
            [10, 100_000],
            [10, 1_000_000],
            [100, 100_000],
          ],
    ),
};

async function main({ only, quick, json }: BenchArguments): Promise<void> {
  const machine = {
    processor: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: availableParallelism(),
    node: process.versions.node,
    /** Of the last minute, before anything was measured. */
    loadAverage: loadavg()[0],
  };
  const rows: Row[] = [];
  const absent = new Set<string>();
  const failed: string[] = [];
  for (const name of only) {
    try {
      const told = await benches[name](quick);
      rows.push(...told.rows);
      for (const peer of told.absent) absent.add(peer);
    } catch (error) {
      // The others are measured all the same.
      failed.push(`${name}: ${(error as Error).message}`);
    }
  }
  if (json) process.stdout.write(`${JSON.stringify({ machine, quick, rows, absent: [...absent], failed })}\n`);
  else {
    const { processor, cores, node, loadAverage } = machine;
    const head = `${cores} x ${processor}, Node.js ${node}, load average ${loadAverage.toFixed(2)} at the start`;
    const notes = [...[...absent].map((peer) => `absent: ${peer}`), ...failed.map((bench) => `FAILED ${bench}`)];
    process.stdout.write(`${[head, '', textOfRows(rows), '', ...notes].join('\n').trimEnd()}\n`);
  }
  process.exitCode = failed.length === 0 ? 0 : 1;
}

try {
  const options = parseBenchArguments(process.argv.slice(2));
  if (options.help) process.stdout.write(usage);
  else await main(options);
} catch (error) {
  process.stderr.write(`${error instanceof ArgumentError ? error.message : String(error)}\n`);
  process.exitCode = error instanceof ArgumentError ? 2 : 1;
}
