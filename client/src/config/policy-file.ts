/** policy.yaml: what the owner of this machine allows. It can only be stricter than a run's manifest; no coordinator can change it. */

import { readFile } from 'node:fs/promises';
import { privacyUnits } from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';
import type { PolicyTerms } from '../round/policy.js';
import { writeAtomically } from '../storage/atomic-file.js';
import { timeZoneKind, windowsKind } from './hours.js';
import {
  flag,
  listOf,
  numberBetween,
  oneOf,
  printSettings,
  readSettings,
  settingsSchema,
  texts,
  wholeBetween,
} from './settings.js';
import type { JsonSchema, Kind, ReadSettings, Setting } from './settings.js';

const bases: Kind<readonly string[]> = {
  expected: `a list of digests of 64 hex digits (fedlora base digest DIR prints one), or ["*"] for any`,
  schema: { type: 'array', items: { type: 'string', pattern: '^(\\*|[0-9a-f]{64})$' } },
  read: (input) =>
    Array.isArray(input) &&
    input.every((item) => typeof item === 'string' && (item === '*' || /^[0-9a-f]{64}$/.test(item)))
      ? (input as string[])
      : undefined,
};

export const policySettings: readonly Setting<unknown>[] = [
  {
    key: 'epsilonCap',
    comment:
      'Most privacy that any data set may spend, over all rounds of all runs it ever takes part in. A round that would pass it is refused before a row is read.',
    kind: numberBetween(0, 1e6),
    fallback: 8,
  },
  {
    key: 'epsilonCapPerPeriod',
    comment:
      'Besides, most privacy that a data set may spend within any stretch of periodDays days, by the clock of this machine; unset: no such limit.',
    kind: numberBetween(0, 1e6),
  },
  {
    key: 'periodDays',
    comment: 'How many days epsilonCapPerPeriod and gpuHoursPerPeriod look back.',
    kind: wholeBetween(1, 3650),
    fallback: 30,
  },
  {
    key: 'unrelatedDatasets',
    comment:
      'Names of other data sets of this machine whose spending does not count for the present one, although some rows stood in both. Without this it counts, so that a new name begins no new budget. Only for rows that are of no person, such as a greeting.',
    kind: texts,
    fallback: [],
  },
  {
    key: 'maximumDelta',
    comment:
      'Largest delta of a run of any unit but "none": roughly the chance with which the promise of epsilon may fail. Keep it well below one over the number of rows.',
    kind: numberBetween(0, 1),
    fallback: 1e-5,
  },
  {
    key: 'requireDifferentialPrivacy',
    comment: 'Refuse runs of unit "none", which add no noise and make no promise about any row.',
    kind: flag,
    fallback: true,
  },
  {
    key: 'allowedUnits',
    comment:
      'What a run may protect: "record" one row, by the noise of all organisations together; "record-local" one row, by this organisation\'s own noise alone; "client" everything of this organisation together; "none" nothing.',
    kind: listOf(privacyUnits),
    fallback: ['record', 'record-local', 'client'],
  },
  {
    key: 'minimumContributors',
    comment:
      'Fewest organisations whose updates any sum may have that can be read. With 2, each of the two can subtract its own part.',
    kind: wholeBetween(2, 4096),
    fallback: 2,
  },
  {
    key: 'leastThreshold',
    comment:
      'Fewest organisations that must agree before a sum is uncovered. Runs also keep the safe minimum, whatever this says.',
    kind: wholeBetween(2, 4096),
    fallback: 2,
  },
  {
    key: 'leastAssumedColluders',
    comment:
      'How many members a run must at least take for accomplices of the coordinator, who tell it their own noise: the noise of the others alone has to do. 0 trusts every member to add its noise.',
    kind: wholeBetween(0, 4095),
    fallback: 0,
  },
  {
    key: 'maximumSamplingRate',
    comment: 'Largest probability with which one row may take part in a round.',
    kind: numberBetween(0, 1),
    fallback: 1,
  },
  {
    key: 'maximumL2Bound',
    comment: 'Largest clipping bound that a run may set; unset allows any, since the noise grows with it.',
    kind: numberBetween(0, 1e9),
  },
  {
    key: 'evaluation',
    comment:
      'Whether a run may hold rows out from training and measure the adapter on them: "never"; "with-noise", so that epsilon covers what is measured; "always", also in runs of unit "none", which tell the sums over all organisations as they are.',
    kind: oneOf(['never', 'with-noise', 'always']),
    fallback: 'with-noise',
  },
  {
    key: 'allowedBases',
    comment:
      'Digests of the base models this machine may train (fedlora base digest DIR), or ["*"] for any. Empty allows none.',
    kind: bases,
    fallback: [],
  },
  {
    key: 'canaries',
    comment:
      'Whether the made-up rows of `dataset.canaries` in config.yaml may be learned from beside the rows, for a later audit: "never" or "allowed". They make the adapter a little worse, and show afterwards how much it tells about single rows.',
    kind: oneOf(['never', 'allowed']),
    fallback: 'never',
  },
  {
    key: 'approval',
    comment:
      'Whether each new manifest waits for the owner: "automatic" takes whatever keeps this policy; "each-manifest" declines until `fedlora policy approve` names it.',
    kind: oneOf(['automatic', 'each-manifest']),
    fallback: 'automatic',
  },
  {
    key: 'declareBudget',
    comment:
      'Tell the coordinator epsilonCap, maximumDelta and what the data set has spent, so that operators can see how many rounds of a planned run it would take part in. These follow from this file and from the terms of rounds, never from a row; they do tell of rounds of other coordinators, if there were any.',
    kind: flag,
    fallback: false,
  },
  {
    key: 'hours',
    comment:
      'When rounds may begin, such as ["Mon-Fri 20:00-06:00", "Sat,Sun 00:00-24:00"]; empty allows any time. A round that goes on when a window ends is finished.',
    kind: windowsKind,
    fallback: [],
  },
  {
    key: 'gpuHoursPerPeriod',
    comment:
      'Most hours that training may use this machine, with a GPU or without, within any stretch of periodDays days; a round that goes on when they are used up is finished. Unset: no such limit.',
    kind: numberBetween(0, 1e5),
  },
  {
    key: 'timeZone',
    comment: 'The time zone of hours, such as "Europe/Madrid"; unset: that of this machine.',
    kind: timeZoneKind,
  },
];

const HEADING =
  'Fedlora policy: what this organisation allows. The coordinator cannot change it, and sees of it what declareBudget tells; terms that break it are declined. Unknown keys are errors. `fedlora policy check` reads it back.';

export interface LoadedPolicy {
  readonly terms: PolicyTerms;
  readonly sources: ReadSettings;
}

/** Reads policy.yaml. @throws FedloraError policy/missing | config/... */
export async function readPolicy(path: string): Promise<LoadedPolicy> {
  const content = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new FedloraError('policy/missing', 'There is no such file.', { where: path, cause });
  });
  const sources = readSettings(policySettings, content, path, {});
  const value = <T>(key: string): T => sources.get(key)?.value as T; // Safe: the table's kinds give exactly these types.
  return {
    sources,
    terms: Object.freeze({
      epsilonCap: value<number>('epsilonCap'),
      epsilonCapPerPeriod: value<number | undefined>('epsilonCapPerPeriod'),
      periodDays: value<number>('periodDays'),
      unrelatedDatasets: value<readonly string[]>('unrelatedDatasets'),
      maximumDelta: value<number>('maximumDelta'),
      requireDifferentialPrivacy: value<boolean>('requireDifferentialPrivacy'),
      allowedUnits: value<PolicyTerms['allowedUnits']>('allowedUnits'),
      minimumContributors: value<number>('minimumContributors'),
      leastThreshold: value<number>('leastThreshold'),
      leastAssumedColluders: value<number>('leastAssumedColluders'),
      maximumSamplingRate: value<number>('maximumSamplingRate'),
      maximumL2Bound: value<number | undefined>('maximumL2Bound'),
      evaluation: value<PolicyTerms['evaluation']>('evaluation'),
      allowedBases: value<readonly string[]>('allowedBases'),
      canaries: value<PolicyTerms['canaries']>('canaries'),
      approval: value<PolicyTerms['approval']>('approval'),
      declareBudget: value<boolean>('declareBudget'),
      hours: {
        windows: value<readonly string[]>('hours'),
        timeZone: value<string | undefined>('timeZone'),
      },
      gpuHoursPerPeriod: value<number | undefined>('gpuHoursPerPeriod'),
    }),
  };
}

/** JSON Schema of policy.yaml; `deploy/schemas/policy.schema.json` is this. */
export function policySchema(): JsonSchema {
  return settingsSchema(policySettings, 'Fedlora policy');
}

/** Writes a complete, commented policy.yaml. */
export async function writePolicy(path: string, values: ReadonlyMap<string, unknown>): Promise<void> {
  await writeAtomically(path, printSettings(policySettings, values, HEADING), { mode: 0o600 });
}
