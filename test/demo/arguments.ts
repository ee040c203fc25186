/** The command line of `npm run demo`. */

import { parseArgs } from 'node:util';

export interface DemoArguments {
  readonly organisations: number;
  readonly rounds: number | undefined;
  readonly report: string | undefined;
  readonly state: string;
  readonly keep: boolean;
  /** Two coordinators and two workers, of which the coordinator that drives is killed in each phase of a round in turn. */
  readonly cluster: boolean;
  readonly compare: boolean;
  readonly clean: boolean;
  readonly help: boolean;
  /** Hugging Face directory of a base model of the user's own. */
  readonly base: string | undefined;
  /** Organisation -> file of Alpaca rows, for data of the user's own. */
  readonly data: ReadonlyMap<string, string>;
}

export const usage = `npm run demo -- [options]

Starts a whole network on this machine: a coordinator and three organisations as separate processes
with their own folders, keys and private data. Trains one adapter together under record-level
differential privacy, and compares it with what each organisation can do alone.

  --orgs N            organisations, 2 to 5 (default 3)
  --rounds N          rounds instead of those in deploy/demo/run.json
  --base DIR          a base model of your own: a Hugging Face directory
  --data ORG=FILE     rows of your own (.json or .jsonl, Alpaca fields); repeat for each organisation.
                      A tenth of each file is held out for the comparison
  --report FILE       write the results as JSON
  --state DIR         where the network keeps its files (default .fedlora/demo)
  --cluster           two coordinators and two workers on PostgreSQL, Redis and an S3 bucket, behind
                      Caddy, of which whoever drives is killed once in each phase of a round (Debian:
                      postgresql redis-server caddy swift-proxy swift-account swift-container
                      swift-object)
  --no-compare        end after the last round, and train and evaluate nobody alone
  --keep              leave the network running until Ctrl-C, and print the command line by which
                      Python pulls the adapter from it with huggingface_hub and PEFT
  --clean             remove the network's files and end
  --help              this text

Examples
  npm run demo
  npm run demo -- --orgs 5 --report result.json
  npm run demo -- --base ./my-model --data north=north.jsonl --data south=south.jsonl
`;

/** An argument that cannot be used, with what to write instead. */
export class ArgumentError extends Error {}

/** Reads the command line. @throws ArgumentError for anything unknown or out of range */
export function parseDemoArguments(argv: readonly string[], defaultState: string): DemoArguments {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        orgs: { type: 'string' },
        rounds: { type: 'string' },
        report: { type: 'string' },
        state: { type: 'string' },
        base: { type: 'string' },
        data: { type: 'string', multiple: true },
        keep: { type: 'boolean' },
        cluster: { type: 'boolean' },
        'no-compare': { type: 'boolean' },
        clean: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }));
  } catch (error) {
    throw new ArgumentError(`${(error as Error).message}\nRun "npm run demo -- --help" for the options.`);
  }

  const data = new Map<string, string>();
  for (const entry of values.data ?? []) {
    const separator = entry.indexOf('=');
    const name = entry.slice(0, separator);
    if (separator <= 0 || !/^[a-z0-9-]+$/.test(name)) {
      throw new ArgumentError(`--data ${entry}: write it as organisation=file, the organisation in a-z, 0-9 and "-".`);
    }
    if (data.has(name)) throw new ArgumentError(`--data names the organisation "${name}" twice.`);
    data.set(name, entry.slice(separator + 1));
  }
  if (data.size === 1) throw new ArgumentError('--data: a network needs at least two organisations.');
  if (data.size > 0 && values.orgs !== undefined)
    throw new ArgumentError('--orgs is for the built-in data; leave it out with --data.');

  return {
    organisations: data.size > 0 ? data.size : wholeNumber('--orgs', values.orgs ?? '3', 2, 5),
    rounds: values.rounds === undefined ? undefined : wholeNumber('--rounds', values.rounds, 1, 10_000),
    report: values.report,
    state: values.state ?? defaultState,
    keep: values.keep ?? false,
    cluster: values.cluster ?? false,
    compare: values['no-compare'] !== true,
    clean: values.clean ?? false,
    help: values.help ?? false,
    base: values.base,
    data,
  };
}

function wholeNumber(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new ArgumentError(`${option} ${text}: must be a whole number from ${least} to ${most}.`);
  }
  return value;
}
