/**
 * Everything that is wrong with a run description, and not the first thing only.
 *
 * The rules are `planRun`'s and `checkManifest`'s, which stop at the first that is broken. So what it names is mended with a value that
 * keeps the rule, and the description is tried again until nothing is left. What it says of one field is thus said with the fields
 * before it in order; and what hides behind a field that cannot be mended shows when that is.
 */

import { leastThreshold, ProtocolError, type Manifest, type Roster } from '@fedlora/protocol';
import { errorEntry, FedloraError, type PlanProblem, type RunDescription } from '@fedlora/shared';
import { dropoutsSurvived } from './forecast.js';

export interface Terms {
  readonly manifest: Manifest;
  readonly roster: Roster;
}

type TermsOf = (description: RunDescription) => Promise<Terms>;

interface Mend {
  readonly remedy: string;
  /** The description with a value that breaks no rule by itself. */
  readonly mended: (description: RunDescription) => RunDescription;
}

const withPrivacy =
  (change: (privacy: RunDescription['privacy']) => Partial<RunDescription['privacy']>) =>
  (description: RunDescription): RunDescription => ({
    ...description,
    privacy: { ...description.privacy, ...change(description.privacy) },
  });
const withAdapter =
  (change: Partial<RunDescription['adapter']>) =>
  (description: RunDescription): RunDescription => ({ ...description, adapter: { ...description.adapter, ...change } });
const withTraining =
  (change: Partial<RunDescription['training']>) =>
  (description: RunDescription): RunDescription => ({
    ...description,
    training: { ...description.training, ...change },
  });
/** Without some of its parts, for which there are defaults. */
const without =
  (...names: (keyof RunDescription)[]) =>
  (description: RunDescription): RunDescription =>
    // Safe: only optional parts are named.
    Object.fromEntries(
      Object.entries(description).filter(([name]) => !names.includes(name as keyof RunDescription)),
    ) as unknown as RunDescription;
const needed = (change: Partial<RunDescription['training']>): Mend => ({
  remedy: 'Give it, or choose another training.kind.',
  mended: withTraining(change),
});

/** By field of the description; a field below another has that one's mend unless it has its own. */
const mends: Readonly<Record<string, Mend>> = {
  organisations: {
    remedy: 'Invite and certify more organisations, or leave the field out to take every active one.',
    mended: without('organisations'),
  },
  repository: {
    remedy: 'Name another repository, or leave it out: the run then gets one of its own.',
    mended: without('repository'),
  },
  threshold: {
    remedy: 'Take a number in this range, or leave it out for the least that is safe.',
    mended: without('threshold'),
  },
  graph: { remedy: 'Leave it out: what is needed is then found.', mended: without('graph') },
  deadlinesMs: { remedy: 'Leave it out, or take a value in this range.', mended: without('deadlinesMs') },
  'adapter.r': { remedy: 'Take a lower rank, or adapt wider modules only.', mended: withAdapter({ r: 1 }) },
  'adapter.rebaseEvery': { remedy: 'Set it to 0, or choose another rule.', mended: withAdapter({ rebaseEvery: 0 }) },
  'adapter.target_modules': {
    remedy: 'Name linear layers of the base model, or "all-linear".',
    mended: withAdapter({ target_modules: ['all-linear'] }),
  },
  'privacy.assumedColluders': {
    remedy: 'Assume fewer colluders, or have more organisations take part.',
    mended: withPrivacy(() => ({ assumedColluders: 1 })),
  },
  'privacy.minimumContributors': {
    remedy: 'Take a number from the threshold to the number of organisations, or leave it out.',
    mended: (description) => {
      const { minimumContributors: _, ...privacy } = description.privacy;
      return { ...description, privacy };
    },
  },
  'privacy.noiseMultiplier': {
    remedy: 'Raise it: `fedlora admin runs plan --cap EPSILON` says how much an epsilon needs. Unit "none" has 0.',
    mended: withPrivacy(({ unit }) => ({ noiseMultiplier: unit === 'none' ? 0 : 1 })),
  },
  'privacy.delta': {
    remedy: 'Take a positive number well below one over the number of protected records, such as 1e-6.',
    mended: withPrivacy(() => ({ delta: 1e-6 })),
  },
  'data.chatTemplate': {
    remedy:
      'Give the digest that `fedlora base digest --chat-template DIR` prints where rows are messages, and else none.',
    mended: ({ data, ...rest }) => {
      const { chatTemplate: _, ...others } = data;
      return { ...rest, data: data.format === 'messages' ? { ...others, chatTemplate: '0'.repeat(64) } : others };
    },
  },
  'training.kind': {
    remedy: 'Choose the kind that the unit needs, or another privacy.unit.',
    mended: withPrivacy(() => ({ unit: 'none', noiseMultiplier: 0 })),
  },
  'training.samplingRate': needed({ samplingRate: 0.01 }),
  'training.expectedRecords': needed({ expectedRecords: 100 }),
  'training.maximumRecords': {
    remedy:
      'Give the most records that one organisation contributes to a round; a lower number leaves a sum more room.',
    mended: withTraining({ maximumRecords: 1 }),
  },
  'training.steps': needed({ steps: 1 }),
  'training.batchSize': needed({ batchSize: 1 }),
  'training.learningRate': needed({ learningRate: 0.001 }),
  'training.maximumGradientNorm': needed({ maximumGradientNorm: 1 }),
};

/** The scale follows from these: where none fits, each that alone would make one fit is named. */
const SCALES: readonly (string | null)[] = ['encoding.stepsPerUnit', 'training.stepsPerUnit'];
const CAUSES_OF_SCALE = ['training.maximumRecords', 'privacy.noiseMultiplier'];

/**
 * The terms of a description, or all that keeps it from having any.
 *
 * Cost       As often `termsOf` as there are problems, and once or twice more.
 * @throws whatever `termsOf` throws that is not about the description
 */
export async function termsOrProblems(
  description: RunDescription,
  termsOf: TermsOf,
): Promise<{ readonly terms?: Terms; readonly problems: readonly PlanProblem[] }> {
  const problems: PlanProblem[] = [];
  for (let tried = description; ;) {
    const outcome = await attempt(tried, termsOf);
    if ('manifest' in outcome) return problems.length === 0 ? { terms: outcome, problems } : { problems };
    const found = await problemsOf(outcome, tried, termsOf);
    const fresh = found.filter(({ field }) => !problems.some((known) => known.field === field));
    problems.push(...fresh);
    // A field that is named again was not mended: going on would go round in circles.
    const mend = fresh.length === 0 ? undefined : mendOf(fresh[0].field);
    if (mend === undefined) return { problems };
    tried = mend.mended(tried);
  }
}

/** Errors about the description are answers here; others are thrown. */
async function attempt(description: RunDescription, termsOf: TermsOf): Promise<Terms | ProtocolError | FedloraError> {
  try {
    return await termsOf(description);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'manifest/invalid') return error;
    if (error instanceof FedloraError && error.code === 'run/invalid-description') return error;
    throw error;
  }
}

async function problemsOf(
  error: ProtocolError | FedloraError,
  description: RunDescription,
  termsOf: TermsOf,
): Promise<PlanProblem[]> {
  const named = typeof error.details.field === 'string' ? error.details.field : null;
  const problem = (field: string | null, message: string): PlanProblem => ({
    field,
    code: error.code,
    message,
    remedy: mendOf(field)?.remedy ?? errorEntry(error.code).remedy,
    severity: 'error',
  });
  if (SCALES.includes(named)) {
    const causes: string[] = [];
    for (const field of CAUSES_OF_SCALE) {
      if ('manifest' in (await attempt(mends[field].mended(description), termsOf))) causes.push(field);
    }
    const why = `No scale fits: sums must stay below 2^31 steps, and each noise share must be wide enough. ${error.message}`;
    return causes.length === 0 ? [problem(null, why)] : causes.map((field) => problem(field, why));
  }
  const field = named?.replace(/^aggregation\./, '') ?? null;
  const { threshold, privacy } = description;
  const isGiven =
    field === 'threshold'
      ? threshold != null
      : field !== 'privacy.minimumContributors' || privacy.minimumContributors != null;
  if (!isGiven) {
    // It follows from what was given, or from the number of organisations and the colluders among them.
    return threshold == null
      ? [problem('privacy.assumedColluders', `is too many for these organisations. ${error.message}`)]
      : [problem('threshold', `does not fit these organisations. ${error.message}`)];
  }
  const prefix = `${named}: `;
  return [problem(field, error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message)];
}

function mendOf(field: string | null): Mend | undefined {
  if (field === null) return undefined;
  return (mends as Readonly<Record<string, Mend | undefined>>)[field] ?? mendOf(parentOf(field));
}

function parentOf(field: string): string | null {
  const dot = field.lastIndexOf('.');
  return dot < 0 ? null : field.slice(0, dot);
}

/** What is allowed and yet unwise in terms that keep every rule. */
export function adviceOn(manifest: Manifest, members: number): PlanProblem[] {
  const { privacy, training } = manifest;
  const advice: PlanProblem[] = [];
  const units = protectedUnits(manifest, members);
  if (privacy.unit !== 'none' && privacy.delta * units >= 1) {
    const what = training.kind === 'local-steps' ? 'organisations' : 'records that training.samplingRate implies';
    advice.push({
      field: 'privacy.delta',
      code: 'plan/delta-too-large',
      message: `is not below one over the about ${Math.round(units)} ${what}: a mechanism that gives one of them away could keep it.`,
      remedy: `Take less than ${(1 / units).toPrecision(1)}; a tenth of that is usual.`,
      severity: 'advice',
    });
  }
  if (dropoutsSurvived(manifest, members) === 0) {
    advice.push({
      field: privacy.minimumContributors > manifest.aggregation.threshold ? 'privacy.minimumContributors' : 'threshold',
      code: 'plan/no-dropouts',
      message: `is all ${members} organisations: one that falls silent aborts the round.`,
      remedy:
        leastThreshold(members, privacy.assumedColluders) < members
          ? 'Lower it, or accept that rounds wait for everyone.'
          : 'Have more organisations take part: with so few no lower number is safe.',
      severity: 'advice',
    });
  }
  return advice;
}

/** How many units the promise is about: the records of all organisations, or the organisations. */
function protectedUnits({ training }: Manifest, members: number): number {
  if (training.kind === 'local-steps') return members;
  const sampled = training.expectedRecords / training.samplingRate;
  return training.kind === 'record-step' ? sampled : members * sampled;
}
