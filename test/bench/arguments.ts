/** The command line of `npm run bench`. */

import { parseArgs } from 'node:util';

/** Every bench there is, in the order in which they run. */
export const benchNames = ['engine', 'registry', 'protocol', 'simulate'] as const;
export type BenchName = (typeof benchNames)[number];

export interface BenchArguments {
  readonly only: readonly BenchName[];
  readonly quick: boolean;
  readonly json: boolean;
  readonly help: boolean;
}

export const usage = `npm run bench -- [options]

Runs every bench, one after the other, and prints one table: what was measured, beside its target or its
peer where there is one. A ratio over 1 is better than the target or the peer.

  --only A,B   some of ${benchNames.join(', ')}
  --quick      the smallest sizes: about a minute in all on a machine at rest
  --json       the same as JSON
  --help       this text

Each bench has a command of its own with more to choose from: npm run bench:engine, bench:registry,
bench:protocol, simulate. Numbers are of this machine and of what else it does: compare within one run.
`;

/** An argument that cannot be used, with what to write instead. */
export class ArgumentError extends Error {}

/** Reads the command line. @throws ArgumentError for anything unknown */
export function parseBenchArguments(argv: readonly string[]): BenchArguments {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        only: { type: 'string', default: benchNames.join(',') },
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new ArgumentError(`${(error as Error).message}\n  what to do: npm run bench -- --help has the options.`);
  }
  const asked = values.only.split(',').map((name) => name.trim());
  const unknown = asked.filter((name) => !(benchNames as readonly string[]).includes(name));
  if (unknown.length > 0) {
    throw new ArgumentError(
      `No bench is called ${unknown.join(', ')}.\n  what to do: choose among ${benchNames.join(', ')}, with commas between.`,
    );
  }
  return { ...values, only: benchNames.filter((name) => asked.includes(name)) };
}
