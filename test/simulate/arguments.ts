/** The command line of `npm run simulate`. */

import { parseArgs } from 'node:util';

export interface SimulationArguments {
  /** Organisations, each with a client of its own. */
  readonly clients: number;
  /** Trained values of the adapter; a contribution has at least as many words. */
  readonly params: number;
  /** Fraction of the organisations that fall silent in each round when they are asked for their update. */
  readonly dropout: number;
  readonly rounds: number;
  /** Processes that the clients live in. */
  readonly workers: number;
  /** How long a round waits for updates, in milliseconds: with silent organisations, always this long. */
  readonly deadlineMs: number;
  /** Of each connection, one way. */
  readonly latencyMs: number;
  /** Of each connection, each way, in kB (1000 bytes) for each second. */
  readonly bandwidthKb: number | undefined;
  /** Largest heap of the coordinator, in MiB: Node.js's --max-old-space-size. */
  readonly heapMiB: number | undefined;
  /** The whole simulation ends after this, in milliseconds. */
  readonly limitMs: number;
  readonly json: boolean;
  readonly help: boolean;
}

export const usage = `npm run simulate -- [options]

Puts a coordinator under the load of many organisations, all on this machine: a coordinator in a process
of its own, and clients that speak the real protocol with it, over sockets and HTTP, about updates that are
made up. Says how long phases took, what clients waited for, and what the coordinator used, and checks that
each adapter is the mean of the updates.

  --clients N        organisations, 3 to 2000 (default 100); above 128 rounds go over a graph
  --params N         trained values, 100 to 100000000 (default 100000)
  --dropout F        fraction that falls silent when asked for its update, 0 to 0.1 (default 0)
  --rounds N         1 to 100 (default 1)
  --deadline S       seconds that a round waits for updates (default 120 with --dropout, else 600)
  --latency MS       one way, of each connection (default 0)
  --bandwidth KB/S   each way, of each connection (default: no limit)
  --heap MIB         largest heap of the coordinator (default: what Node.js finds fit)
  --workers N        processes that the clients live in, 1 to 64 (default 2)
  --limit S          ends the simulation after so many seconds (default 1800)
  --json             one line of JSON instead of the report
  --help             this text

Examples
  npm run simulate -- --clients 1000 --params 100000 --dropout 0.05
  npm run simulate -- --clients 100 --params 1000000 --latency 40 --bandwidth 2000
`;

/** An argument that cannot be used, with what to write instead. */
export class ArgumentError extends Error {}

/** Reads the command line. @throws ArgumentError for anything unknown or out of range */
export function parseSimulationArguments(argv: readonly string[]): SimulationArguments {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        clients: { type: 'string', default: '100' },
        params: { type: 'string', default: '100000' },
        dropout: { type: 'string', default: '0' },
        rounds: { type: 'string', default: '1' },
        deadline: { type: 'string' },
        latency: { type: 'string', default: '0' },
        bandwidth: { type: 'string' },
        heap: { type: 'string' },
        workers: { type: 'string', default: '2' },
        limit: { type: 'string', default: '1800' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new ArgumentError(`${(error as Error).message}\nRun "npm run simulate -- --help" for the options.`);
  }
  const dropout = number('--dropout', values.dropout, 0, 0.1);
  const clients = wholeNumber('--clients', values.clients, 3, 2000);
  return {
    clients,
    params: wholeNumber('--params', values.params, 100, 100_000_000),
    dropout,
    rounds: wholeNumber('--rounds', values.rounds, 1, 100),
    deadlineMs: 1000 * number('--deadline', values.deadline ?? (dropout > 0 ? '120' : '600'), 1, 3600),
    latencyMs: number('--latency', values.latency, 0, 5000),
    bandwidthKb: values.bandwidth === undefined ? undefined : number('--bandwidth', values.bandwidth, 1, 10_000_000),
    heapMiB: values.heap === undefined ? undefined : wholeNumber('--heap', values.heap, 32, 1_000_000),
    workers: Math.min(clients, wholeNumber('--workers', values.workers, 1, 64)),
    limitMs: 1000 * number('--limit', values.limit, 1, 86_400),
    json: values.json,
    help: values.help,
  };
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = number(option, text, least, most);
  if (!Number.isInteger(value)) throw new ArgumentError(`${option} ${text}: must be a whole number.`);
  return value;
}

function number(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= least && value <= most)) {
    throw new ArgumentError(`${option} ${text}: must be a number from ${least} to ${most}.`);
  }
  return value;
}
