/** `RESULTS.md`: the tables, with what they show in words that are derived from them. */

import type { DatasetPreset, Preset } from './presets.js';
import { DELTA } from './methods.js';
import type { MethodSummary, Spread } from './summary.js';

export interface DatasetSummary {
  readonly preset: DatasetPreset;
  readonly organisations: readonly string[];
  readonly rows: number;
  readonly methods: readonly MethodSummary[];
}

/** How many cells, one a method, data set and seed, are done. */
export interface StudyProgress {
  readonly done: number;
  readonly total: number;
  /** Computing of the cells that are done, whenever that was. */
  readonly seconds: number;
}

/** Where the plot of a data set lies, beside the results. */
export function plotFile({ name }: DatasetPreset): string {
  return `loss-${name}.svg`;
}

const ABOUT: Readonly<Record<DatasetPreset['name'], string>> = {
  demo: 'Requests that were made up for the demo (`deploy/demo/phrases.json`), other ones for each seed.',
  clinc150:
    "CLINC150 (Larson et al. 2019): people's questions, and which of 15 things of a domain they want; a domain is an organisation.",
};

export function report(
  preset: Preset,
  { done, total, seconds }: StudyProgress,
  datasets: readonly DatasetSummary[],
  machine: string,
): string {
  return `# What private training together is worth

Written by \`npm run study -- --preset ${preset.name}\` on ${machine}. Base model: \`deploy/demo/base\`, 0.87 million parameters. Seeds: ${preset.seeds.join(', ')}.
All that is below took ${Math.round(seconds)} seconds of computing, with a cell on each core at a time.
${done < total ? `\n**Not finished: ${done} of ${total} cells.** The same command goes on.\n` : ''}

Each method starts from the same base, learns from the same rows as often, and is measured on test rows of every organisation. **Loss** is
the mean over organisations of the mean cross-entropy of an answer's tokens, in nats: lower is better. **Ranked**, where answers are labels,
is the mean share of questions whose right label is the likeliest of all labels of all organisations, by the sum of its tokens'
log-probabilities (\`rank.ts\`). **Exact** is the mean share of answers that are right word for word. After ± stands the standard deviation
over seeds. Training, clipping, noise and the server's step are the product's own code; keys, masks and the network, which change no sum,
are left out. Delta is ${DELTA}. Settings are the same for all data sets (\`run-method.ts\`), and were chosen on the validation rows of
clinc150, whose test rows are measured here, in about twenty short trials with 20 or 30 questions of an organisation. The rate of training
alone is the one that was best for an organisation's own questions (banking's), since it has no others to choose by: 0.005 ranked 80 % of its
own and 16 % of all, 0.001 ranked 65 % and 28 %, 0.0003 ranked 55 % and 37 %, where the base had about 41 % of all. What trying settings
would cost in privacy is not counted. Seconds depend on what else the machine does.

${datasets.map(section).join('\n')}
## What to do where it hurts

- **Noise is shared by all rows of a round.** More rows a round, more organisations and more rows in all make the same epsilon cheaper; a
  longer run makes it dearer. \`fedlora admin runs plan\` says what each costs.
- **Local noise and client noise are for other threats.** Local noise holds against all other organisations together, and costs about the root of their
  number more; client noise hides a whole organisation, and needs hundreds of them. With a handful, protect records.
- **Exact answers suffer more than the loss**: noise blurs the last bit that decides between two labels before it hides what a row is about.
`;
}

function section({ preset, organisations, rows, methods }: DatasetSummary): string {
  return `## ${preset.name}

${ABOUT[preset.name]} ${organisations.length} organisations (${organisations.join(', ')}), ${rows} rows in all, ${preset.rounds} rounds of about ${preset.recordsPerRound} rows. Test rows of each organisation: ${preset.testRows} at most${preset.rankedRows > 0 ? `, of which ${preset.rankedRows} are ranked` : ''}.

${baseOf(preset)}

| method | loss | ranked | exact | seeds | seconds |
| --- | ---: | ---: | ---: | ---: | ---: |
${methods.map(row).join('\n')}

![Loss of each method](${plotFile(preset)})

${findings(methods)
  .map((line) => `- ${line}`)
  .join('\n')}
`;
}

function baseOf({ warmStart }: DatasetPreset): string {
  if (warmStart === undefined) return 'The base is as it is, in NF4.';
  return `**The base is warmed on what is public, for all methods alike**, as private training is done in practice: ${warmStart.steps} steps of ${warmStart.batchSize} rows, without noise, on the questions of
the domains that are none of the organisations', and on requests made of the words of the labels, whose names every member of a run knows (\`datasets.ts\`, \`warm-base.ts\`). No question of an
organisation is among them.`;
}

function row({ title, macroLoss, macroRanked, macroAccuracy, seeds, seconds }: MethodSummary): string {
  return `| ${title} | ${spread(macroLoss, 1, 3)} | ${macroRanked === undefined ? '–' : `${spread(macroRanked, 100, 1)} %`} | ${spread(macroAccuracy, 100, 1)} % | ${seeds} | ${Math.round(seconds)} |`;
}

function spread({ mean, stddev }: Spread, unit: number, digits: number): string {
  return `${(unit * mean).toFixed(digits)} ± ${(unit * stddev).toFixed(digits)}`;
}

/** What the table shows, as far as its methods are there. */
export function findings(methods: readonly MethodSummary[]): readonly string[] {
  const lines: string[] = [];
  const find = (...parts: readonly string[]): MethodSummary | undefined =>
    methods.find(({ title }) => parts.every((part) => title.includes(part)));
  const locals = methods.filter(({ title }) => title.startsWith('local: '));
  const record = find('record DP, epsilon 8');
  if (locals.length > 0 && record !== undefined) {
    const best = locals.reduce((least, one) => (one.macroLoss.mean < least.macroLoss.mean ? one : least));
    const accurate = locals.reduce((most, one) => (one.macroAccuracy.mean > most.macroAccuracy.mean ? one : most));
    lines.push(
      `Record DP at epsilon 8 is ${record.macroLoss.mean < best.macroLoss.mean ? '**better in loss than every local model**' : '**not better in loss than the best local model**'}: ${record.macroLoss.mean.toFixed(3)} against ${best.macroLoss.mean.toFixed(3)} of the best (${best.title.slice(7)}).`,
      `In exact answers it has ${percent(record)} against ${percent(accurate)} of the best local model (${accurate.title.slice(7)}), ${record.macroAccuracy.mean > accurate.macroAccuracy.mean ? 'which knows its own rows only' : 'which it does not reach: here DP hurts'}.`,
    );
  }
  lines.push(...rankedFindings(locals, record, find('base model')));
  const without = find('no DP');
  if (record !== undefined && without !== undefined)
    lines.push(
      `Noise for epsilon 8 costs ${(record.macroLoss.mean - without.macroLoss.mean).toFixed(3)} nats and ${(100 * (without.macroAccuracy.mean - record.macroAccuracy.mean)).toFixed(1)} points of exact answers against the same rounds without noise.`,
    );
  for (const [words, name] of [
    ['local-noise DP', 'Noise of every organisation for itself'],
    ['client DP', 'Hiding a whole organisation'],
  ]) {
    const other = find(words);
    if (other !== undefined && record !== undefined)
      lines.push(
        `${name} has a loss of ${other.macroLoss.mean.toFixed(3)} at the same epsilon, ${Math.abs(other.macroLoss.mean - record.macroLoss.mean).toFixed(3)} nats ${other.macroLoss.mean > record.macroLoss.mean ? 'more' : 'less'}.`,
      );
  }
  const base = find('base model');
  const useless = methods.filter(
    ({ title, macroLoss }) =>
      title.includes('DP, epsilon') && base !== undefined && macroLoss.mean >= base.macroLoss.mean,
  );
  for (const { title } of useless)
    lines.push(`**${title} is no better than the base model**: so few rows and organisations drown in this noise.`);
  return lines;
}

/** What ranked labels show, where labels were ranked. */
function rankedFindings(
  locals: readonly MethodSummary[],
  record: MethodSummary | undefined,
  base: MethodSummary | undefined,
): readonly string[] {
  const ranked = locals.flatMap(({ title, macroRanked }) => (macroRanked ? { title, share: macroRanked.mean } : []));
  if (ranked.length === 0 || record?.macroRanked === undefined || record.ranked === undefined) return [];
  const best = ranked.reduce((most, one) => (one.share > most.share ? one : most));
  const share = record.macroRanked.mean;
  const verdict = share > best.share ? '**above every local model**' : '**not above the best local model**';
  const lines = [
    `In ranked labels record DP at epsilon 8 is ${verdict}: ${points(share)} against ${points(best.share)} of the best (${best.title.slice(7)}).`,
  ];
  // Of local models all or none are there; theirs is the organisation of the same place.
  const own = locals.flatMap(({ ranked: shares }, i) => shares?.[i] ?? []);
  if (own.length === record.ranked.length) {
    const atHome = own.reduce((sum, one) => sum + one, 0) / own.length;
    lines.push(
      `Asked by its own organisation only, a local model ranks ${points(atHome)} right on average, where record DP at epsilon 8 ranks ${points(share)}: ${atHome > share ? 'who is never asked about anything but its own matters is better off alone' : 'even there training together is no loss'}.`,
    );
  }
  if (base?.macroRanked !== undefined) {
    const before = base.macroRanked.mean;
    lines.push(
      share > before
        ? `The base model alone ranks ${points(before)} right: the private rows add ${((share - before) * 100).toFixed(1)} points.`
        : `**In ranked labels it is no better than the base model**, which has ${points(before)}: the private rows add nothing under this noise.`,
    );
  }
  return lines;
}

function points(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function percent({ macroAccuracy }: MethodSummary): string {
  return points(macroAccuracy.mean);
}
