/** The fields of a run description that the form asks for: under the API's names, so that what it says of one stands next to it. */

import type { RunDescription } from '@fedlora/shared';

export interface PlanField {
  /** Path in the description. */
  readonly path: string;
  readonly label: string;
  /** What it means, with its unit. */
  readonly hint: string;
  readonly kind: 'text' | 'number' | 'choice' | 'list' | 'switch';
  readonly choices?: readonly string[];
  /** When it has a meaning; default: always. */
  readonly appliesTo?: (description: RunDescription) => boolean;
}

export interface FieldGroup {
  readonly title: string;
  /** What holds while it is left alone: the group is folded until it is needed. */
  readonly byDefault?: string;
  readonly fields: readonly PlanField[];
}

const withKind =
  (...kinds: readonly string[]) =>
  ({ training }: RunDescription): boolean =>
    kinds.includes(training.kind);

export const fieldGroups: readonly FieldGroup[] = [
  {
    title: 'Run',
    fields: [
      { path: 'title', label: 'Title', hint: 'What people call the run.', kind: 'text' },
      { path: 'rounds', label: 'Rounds', hint: 'Planned rounds; the run is complete after them.', kind: 'number' },
      {
        path: 'organisations',
        label: 'Organisations',
        hint: 'Names of the members. Empty: every active one.',
        kind: 'list',
      },
      {
        path: 'repository',
        label: 'Repository',
        hint: 'Where its versions are published, owner/name. Empty: a new one, called after the title.',
        kind: 'text',
      },
    ],
  },
  {
    title: 'Base model',
    fields: [
      {
        path: 'base.name',
        label: 'Name',
        hint: 'Under which downstream services know the base model.',
        kind: 'text',
      },
      {
        path: 'base.digest',
        label: 'Digest',
        hint: '64 hex digits, as `fedlora base digest DIR` prints them: every member checks its files against it.',
        kind: 'text',
      },
      ...[
        ['hidden_size', 'Hidden size'],
        ['intermediate_size', 'Intermediate size'],
        ['num_hidden_layers', 'Layers'],
        ['num_attention_heads', 'Attention heads'],
        ['num_key_value_heads', 'Key and value heads'],
      ].map(([name, label]): PlanField => ({
        path: `base.shape.${name}`,
        label,
        hint: `${name} of the model’s config.json: it fixes the shapes of the adapter.`,
        kind: 'number',
      })),
      {
        path: 'base.shape.head_dim',
        label: 'Head size',
        hint: 'head_dim of the model’s config.json, where it has one. Empty: hidden size over attention heads.',
        kind: 'number',
      },
      {
        path: 'base.shape.vocab_size',
        label: 'Vocabulary',
        hint: 'vocab_size of the model’s config.json. With it the forecast counts the memory of embedding, head and logits.',
        kind: 'number',
      },
      {
        path: 'base.shape.tie_word_embeddings',
        label: 'Tied embeddings',
        hint: 'Whether embedding and head are one table (tie_word_embeddings of config.json), for the memory forecast.',
        kind: 'switch',
      },
    ],
  },
  {
    title: 'Adapter',
    fields: [
      {
        path: 'adapter.rule',
        label: 'Aggregation rule',
        hint: 'What rounds train: ffa-svd B alone (the default with privacy), alternate A and B in turn, fedavg both (inexact), fed-sb the small R between frozen A and B.',
        kind: 'choice',
        choices: ['ffa-svd', 'alternate', 'fedavg', 'fed-sb'],
      },
      { path: 'adapter.r', label: 'Rank r', hint: 'Rank of the adapter’s matrices.', kind: 'number' },
      { path: 'adapter.lora_alpha', label: 'lora_alpha', hint: 'The adapter is scaled by alpha / r.', kind: 'number' },
      {
        path: 'adapter.target_modules',
        label: 'Target modules',
        hint: 'Suffixes of linear modules, such as q_proj, or all-linear alone.',
        kind: 'list',
      },
      {
        path: 'adapter.rebaseEvery',
        label: 'Re-base every',
        hint: 'Rounds between re-basings by SVD; 0 never. Rule ffa-svd only.',
        kind: 'number',
      },
    ],
  },
  {
    title: 'Data',
    fields: [
      {
        path: 'data.format',
        label: 'Format',
        hint: 'What a row is in every organisation: alpaca, an instruction with its answer; messages, a chat; text. A client whose rows are otherwise declines.',
        kind: 'choice',
        choices: ['alpaca', 'messages', 'text'],
      },
      {
        path: 'data.chatTemplate',
        label: 'Chat template',
        hint: '64 hex digits, as `fedlora base digest --chat-template DIR` prints them: chats are written by the base model’s own template.',
        kind: 'text',
        appliesTo: ({ data }) => data.format === 'messages',
      },
      {
        path: 'data.maximumLength',
        label: 'Maximum length',
        hint: 'Tokens of a row, after which it is cut.',
        kind: 'number',
      },
    ],
  },
  {
    title: 'Privacy',
    fields: [
      {
        path: 'privacy.unit',
        label: 'Unit',
        hint: 'What one unit of protection is: a record by the noise of all together, a record by its organisation’s own noise, a whole organisation, or nothing.',
        kind: 'choice',
        choices: ['record', 'record-local', 'client', 'none'],
      },
      {
        path: 'privacy.noiseMultiplier',
        label: 'Noise multiplier',
        hint: 'Standard deviation of the noise over the sensitivity: a ratio without unit. More is more private.',
        kind: 'number',
      },
      {
        path: 'privacy.l2Bound',
        label: 'Clip bound',
        hint: 'L2 norm that each unit’s gradient or update is clipped to.',
        kind: 'number',
      },
      {
        path: 'privacy.delta',
        label: 'Delta',
        hint: 'Chance with which the promise may fail: well below one over the number of protected records.',
        kind: 'number',
      },
      {
        path: 'privacy.assumedColluders',
        label: 'Assumed colluders',
        hint: 'Participants that may collude with the coordinator; at least 1.',
        kind: 'number',
      },
      {
        path: 'privacy.minimumContributors',
        label: 'Minimum contributors',
        hint: 'Fewest contributions of a readable sum. Empty: the threshold.',
        kind: 'number',
      },
      {
        path: 'threshold',
        label: 'Threshold',
        hint: 'Participants that every phase needs. Empty: the least that is safe, more than half of members and colluders.',
        kind: 'number',
      },
    ],
  },
  {
    title: 'Training',
    fields: [
      {
        path: 'training.kind',
        label: 'Kind',
        hint: 'What an organisation does in a round; it goes with the unit: record-step with record, local-record-steps with record-local, local-steps with client.',
        kind: 'choice',
        choices: ['record-step', 'local-record-steps', 'local-steps'],
      },
      {
        path: 'training.samplingRate',
        label: 'Sampling rate',
        hint: 'Chance with which each record takes part in a round, or in a local step.',
        kind: 'number',
        appliesTo: withKind('record-step', 'local-record-steps'),
      },
      {
        path: 'training.expectedRecords',
        label: 'Expected records',
        hint: 'A round of all organisations together; with local-record-steps, a step of one organisation.',
        kind: 'number',
        appliesTo: withKind('record-step', 'local-record-steps'),
      },
      {
        path: 'training.maximumRecords',
        label: 'Maximum records',
        hint: 'Most that one organisation may contribute.',
        kind: 'number',
        appliesTo: withKind('record-step', 'local-record-steps'),
      },
      {
        path: 'training.steps',
        label: 'Local steps',
        hint: 'Steps at home in one round.',
        kind: 'number',
        appliesTo: withKind('local-steps', 'local-record-steps'),
      },
      {
        path: 'training.learningRate',
        label: 'Local learning rate',
        hint: 'Of the steps at home.',
        kind: 'number',
        appliesTo: withKind('local-steps', 'local-record-steps'),
      },
      {
        path: 'training.batchSize',
        label: 'Batch size',
        hint: 'Rows of one local step.',
        kind: 'number',
        appliesTo: withKind('local-steps'),
      },
      {
        path: 'training.maximumGradientNorm',
        label: 'Maximum gradient norm',
        hint: 'What a local step’s gradient is cut to.',
        kind: 'number',
        appliesTo: withKind('local-steps'),
      },
    ],
  },
  {
    title: 'Server optimizer',
    fields: [
      {
        path: 'server.kind',
        label: 'Kind',
        hint: 'What makes the next adapter of the mean update. It spends no privacy.',
        kind: 'choice',
        choices: ['adam', 'sgd'],
      },
      { path: 'server.learningRate', label: 'Learning rate', hint: 'At the first round.', kind: 'number' },
      {
        path: 'server.finalLearningRateFraction',
        label: 'Final fraction',
        hint: 'Of the learning rate that is left at the last round, 0 to 1.',
        kind: 'number',
      },
      { path: 'server.beta1', label: 'Beta 1', hint: 'Momentum, 0 to 1.', kind: 'number' },
      { path: 'server.beta2', label: 'Beta 2', hint: 'Of the second moment, 0 to 1. Adam only.', kind: 'number' },
    ],
  },
  {
    title: 'Metrics',
    byDefault: 'training loss alone',
    fields: [
      {
        path: 'metrics.evaluation.fraction',
        label: 'Held-out fraction',
        hint: 'Expected fraction of the rows that each organisation keeps out of training, to measure every version on: up to 0.5. Empty: nothing is held out.',
        kind: 'number',
      },
      {
        path: 'metrics.clipping.quantile',
        label: 'Clipping quantile',
        hint: 'Fraction of gradients, or updates, that should be within the clip; rounds count them under noise and suggest the bound of the next run. Empty: not counted.',
        kind: 'number',
      },
      {
        path: 'metrics.clipping.learningRate',
        label: 'Clipping learning rate',
        hint: 'How far the suggested bound may be from this run’s, in powers of e. Empty: 1.',
        kind: 'number',
        appliesTo: ({ metrics }) => metrics?.clipping?.quantile !== undefined,
      },
    ],
  },
  {
    title: 'Deadlines',
    byDefault: 'training 120 s, other phases 30 s',
    fields: [
      ...[
        ['advertising', 'Advertising', '30 000'],
        ['sharing', 'Sharing', '30 000'],
        ['training', 'Training', '120 000'],
        ['checking', 'Checking', '30 000'],
        ['unmasking', 'Unmasking', '30 000'],
        ['revealing', 'Revealing', 'as advertising; above 128 organisations only'],
      ].map(([name, label, usual]): PlanField => ({
        path: `deadlinesMs.${name}`,
        label: `${label}, ms`,
        hint: `Milliseconds that the phase waits for its last organisation. Empty: ${usual}.`,
        kind: 'number',
      })),
      {
        path: 'maximumConsecutiveAborts',
        label: 'Aborts in a row',
        hint: 'Aborted rounds in a row after which the run fails. Empty: 20.',
        kind: 'number',
      },
    ],
  },
  {
    title: 'Graph',
    byDefault: 'everyone shares with everyone; above 128 organisations the fewest neighbours that are safe',
    fields: [
      {
        path: 'graph.neighbours',
        label: 'Neighbours',
        hint: 'Organisations that each one shares secrets with. Above 128 organisations only; all three or none.',
        kind: 'number',
      },
      {
        path: 'graph.threshold',
        label: 'Shares that recover',
        hint: 'Of the neighbours, how many can recover a secret together.',
        kind: 'number',
      },
      {
        path: 'graph.silent',
        label: 'Silent',
        hint: 'Organisations whose secrets may be lost in one round, 0 to 4.',
        kind: 'number',
      },
    ],
  },
];

/** Where the form begins: what suits three organisations and some thousand records. */
export const startingDescription: RunDescription = {
  title: '',
  rounds: 100,
  base: {
    name: '',
    digest: '',
    shape: {
      hidden_size: 1,
      intermediate_size: 1,
      num_hidden_layers: 1,
      num_attention_heads: 1,
      num_key_value_heads: 1,
    },
  },
  adapter: { rule: 'ffa-svd', r: 8, lora_alpha: 16, target_modules: ['all-linear'], rebaseEvery: 0 },
  data: { format: 'alpaca', maximumLength: 512 },
  privacy: { unit: 'record', l2Bound: 0.2, noiseMultiplier: 1, delta: 1e-6, assumedColluders: 1 },
  training: { kind: 'record-step', samplingRate: 0.05, expectedRecords: 500, maximumRecords: 400 },
  server: { kind: 'adam', learningRate: 0.02, finalLearningRateFraction: 0.1, beta1: 0.9, beta2: 0.95 },
};

/** The description without the fields that have no meaning in it, which a form that changed its mind still holds. */
export function meant(description: RunDescription): RunDescription {
  return fieldGroups
    .flatMap(({ fields }) => fields)
    .filter(({ appliesTo }) => appliesTo?.(description) === false)
    .reduce((rest, { path }) => withValue(rest, path, undefined), description);
}

export function valueAt(description: object, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], description);
}

/** The description with another value; `undefined` takes the field out, and with its last field the part that it was in. */
export function withValue<Description extends object>(
  description: Description,
  path: string,
  value: unknown,
): Description {
  const [name, ...rest] = path.split('.');
  const { [name]: present, ...others } = description as Record<string, unknown>;
  const changed = rest.length === 0 ? value : withValue(present ?? {}, rest.join('.'), value);
  const isEmptied = rest.length > 0 && Object.keys(changed as object).length === 0;
  const inner = isEmptied ? undefined : changed;
  // Safe: the coordinator checks every field, and says which is wrong.
  return { ...others, ...(inner === undefined ? {} : { [name]: inner }) } as Description;
}
