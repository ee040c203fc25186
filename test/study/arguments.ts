/** The command line of `npm run study`. */

import { parseArgs } from 'node:util';
import { presetNames, type PresetName } from './presets.js';

export interface StudyArguments {
  readonly preset: PresetName;
  readonly data: string;
  readonly out: string;
  /** Cells that are computed at a time. */
  readonly jobs: number;
  readonly fresh: boolean;
  readonly help: boolean;
}

export const usage = `npm run study -- [options]

Trains adapters by every method that is compared (each organisation alone, all rows in one place,
together without and with differential privacy), and writes tables and plots. It may be stopped at
any time and goes on where it was.

  --preset NAME   reduced (under 15 minutes on two cores) or full (about 75 minutes); default reduced
  --data DIR      folder of the data sets (default ../shared/data, beside the clone)
  --out DIR       where RESULTS.md, or RESULTS.full.md, and the plots go (default test/study)
  --jobs N        cells that are computed at a time, each on one core (default one a core)
  --fresh         forget what was done before
  --help          this text

Examples
  npm run study
  npm run study -- --preset full --out /tmp/study
`;

/** An argument that cannot be used, with what to write instead. */
export class ArgumentError extends Error {}

/** @throws ArgumentError */
export function parseStudyArguments(
  argv: readonly string[],
  defaults: Pick<StudyArguments, 'data' | 'out' | 'jobs'>,
): StudyArguments {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...argv],
      options: {
        preset: { type: 'string', default: 'reduced' },
        data: { type: 'string', default: defaults.data },
        out: { type: 'string', default: defaults.out },
        jobs: { type: 'string', default: String(defaults.jobs) },
        fresh: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    throw new ArgumentError(error instanceof Error ? error.message : String(error), { cause: error });
  }
  const preset = presetNames.find((name) => name === values.preset);
  if (preset === undefined) throw new ArgumentError(`--preset ${values.preset}: it is ${presetNames.join(' or ')}.`);
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1)
    throw new ArgumentError(`--jobs ${values.jobs}: it is a whole number from 1.`);
  return { ...values, preset, jobs };
}
