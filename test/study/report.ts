/** `RESULTS.md`: the tables, with what they show in words that are derived from them. */

import { bestOf, findings, numberFindings, points } from './findings.js';
import { DELTA, federated, LOCAL_NOISE, titleOf, WHOLE_CLIENTS, WITHOUT_NOISE, type Method } from './methods.js';
import { fewestOrganisations, presetNames, type DatasetPreset, type Preset } from './presets.js';
import type { DatasetSummary, MethodSummary, NumberSummary, Spread } from './summary.js';

/** How many cells, one a method, data set and seed, are done. */
export interface StudyProgress {
  readonly done: number;
  readonly total: number;
  /** Computing of the cells that are done, whenever that was. */
  readonly seconds: number;
}

/** The results of a preset, beside those of others. */
export function resultsFile({ name }: Pick<Preset, 'name'>): string {
  return fileOf(name, 'RESULTS', 'md');
}

/** Where the plot of a data set lies, beside the results. */
export function plotFile({ name }: Pick<Preset, 'name'>, dataset: Pick<DatasetPreset, 'name'>): string {
  return fileOf(name, `loss-${dataset.name}`, 'svg');
}

/** No preset writes over another's files. */
function fileOf(preset: Preset['name'], stem: string, extension: string): string {
  return preset === 'reduced' ? `${stem}.${extension}` : `${stem}.${preset}.${extension}`;
}

interface DatasetWords {
  readonly about: string;
  /** What a warm base has learned from. */
  readonly warm?: string;
  /** How the settings came about that all data sets share, or this one's own. */
  readonly settings: string;
}

const WORDS: Readonly<Record<DatasetPreset['name'], DatasetWords>> = {
  demo: {
    about: `Requests that were made up for the demo (\`deploy/demo/phrases.json\`), other ones for each seed; half of the tests are in words
that nobody trained on.`,
    settings: 'No setting was tried on this data set: they are those of clinc150, with fewer and smaller rounds.',
  },
  clinc150: {
    about: `CLINC150 (Larson et al. 2019): people's questions, and which of 15 things of a domain they want; a domain is an organisation.`,
    warm: `on the questions of the domains that are none of the organisations', whatever their number, and on requests made of the words of the
labels, whose names every member of a run knows (\`datasets.ts\`, \`warm-base.ts\`). No question of an organisation is among them.`,
    settings: `The settings were chosen on the validation rows of this data set, not on its test rows, in about twenty short trials with 20 or 30
questions of an organisation. The rate of training alone is the one that was best for an organisation's own questions (banking's), since it has no
others to choose by: 0.005 ranked 80 % of its own and 16 % of all, 0.001 ranked 65 % and 28 %, 0.0003 ranked 55 % and 37 %, where the base had
about 41 % of all.`,
  },
  medquad: {
    about: `MedQuAD (Ben Abacha and Demner-Fushman 2019, CC BY 4.0): the first 48 tokens of an answer, without the question where it begins with that,
and what kind of question about a disease it answers. Institutes of the United States' National Institutes of Health are the
organisations, as they wrote the answers: with their own style, and more of some kinds than of others. A disease that is tested is trained on
nowhere (\`medquad.ts\`).`,
    warm: `on answers of institutes that are no organisations here (CDC, GHR, NINDS), about diseases that are not tested, and on such answers with
the words of the kinds that those institutes never answer.`,
    settings: `The settings are those of clinc150, with smaller rounds. They were tried once, with four methods and one seed, on diseases that were held
out of training and are not those of the tests; nothing was changed after that.`,
  },
};

export function report(
  preset: Preset,
  { done, total, seconds }: StudyProgress,
  datasets: readonly DatasetSummary[],
  machine: string,
): string {
  return `# What private training together is worth

Written by \`npm run study -- --preset ${preset.name}\` on ${machine}. Base model: \`deploy/demo/base\`, 0.87 million parameters. Seeds: ${preset.seeds.join(', ')}.
All that is below took ${Math.round(seconds)} seconds of computing, with a cell on each core at a time. ${others(preset)}
${done < total ? `\n**Not finished: ${done} of ${total} cells.** The same command goes on.\n` : ''}

Each method starts from the same base, learns from the same rows as often, and is measured on test rows of every organisation. **Loss** is
the mean over organisations of the mean cross-entropy of an answer's tokens, in nats: lower is better. **Ranked**, where answers are labels,
is the mean share of questions whose right label is the likeliest of all labels of all organisations, by the sum of its tokens'
log-probabilities (\`rank.ts\`). **Exact** is the mean share of answers that are right word for word. After ± stands the standard deviation
over seeds. Training, clipping, noise and the server's step are the product's own code; keys, masks and the network, which change no sum,
are left out. Delta is ${DELTA}. The code of a method has the same settings for all data sets (\`run-method.ts\`); how they were chosen is
said with each data set. What trying settings would cost in privacy is not counted. Seconds depend on what else the machine does. Chance comes
from the seeds, but processors round differently, which training amplifies: on another one numbers differ, by up to 0.16 nats and 5 points where
that was looked at, and no finding did.

${overview(datasets)}${datasets.map((one) => section(preset, one)).join('\n')}
## What to do where it hurts

- **Noise is shared by all rows of a round.** More rows a round, more organisations and more rows in all make the same epsilon cheaper; a
  longer run makes it dearer. \`fedlora admin runs plan\` says what each costs.
- **Local noise and client noise are for other threats.** Local noise holds against all other organisations together, and costs about the root of their
  number more; client noise hides a whole organisation, and needs hundreds of them. With a handful, protect records.
`;
}

/** Where the other presets' results are. */
function others(preset: Preset): string {
  return presetNames
    .filter((name) => name !== preset.name)
    .map((name) => `The preset \`${name}\` has its own page: [${resultsFile({ name })}](${resultsFile({ name })}).`)
    .join(' ');
}

/** Columns of the table of all data sets. */
const OVERVIEW: readonly (readonly [title: string, method: Method])[] = [
  ['base', { kind: 'base' }],
  ['centralised', { kind: 'centralised' }],
  ['together, no DP', WITHOUT_NOISE],
  ...[8, 3, 1].map((epsilon) => [`record DP, ${epsilon}`, federated('record', epsilon, 'gradient')] as const),
  ['local noise, 8', LOCAL_NOISE],
  ['client DP, 8', WHOLE_CLIENTS],
];

/** Several data sets at a glance; nothing for one. */
function overview(datasets: readonly DatasetSummary[]): string {
  if (datasets.length < 2) return '';
  const lines = datasets.map(({ preset: { name, rankedRows }, methods }) => {
    const isRanked = rankedRows > 0;
    const shown = ({ macroRanked, macroLoss }: MethodSummary): string =>
      isRanked ? (macroRanked === undefined ? '–' : points(macroRanked.mean)) : macroLoss.mean.toFixed(3);
    const best = bestOf(methods.filter(({ title }) => title.startsWith('local: ')));
    const others = OVERVIEW.map(([, method]) => methods.find(({ title }) => title === titleOf(method)));
    const values = [best, ...others].map((method) => (method === undefined ? '–' : shown(method)));
    return `| ${[name, isRanked ? 'ranked' : 'loss', ...values].join(' | ')} |`;
  });
  const titles = ['data set', 'by', 'best alone', ...OVERVIEW.map(([title]) => title)];
  return `## In short

Ranked labels that are right, of which more is better, or the loss where none are ranked, of which less is. The number of a column is its
epsilon. Best alone is the best local model on all organisations' tests.

| ${titles.join(' | ')} |
| --- | --- |${' ---: |'.repeat(titles.length - 2)}
${lines.join('\n')}

`;
}

function section(study: Preset, { preset, organisations, rows, commonest, methods, numbers }: DatasetSummary): string {
  if (methods.length === 0) return `## ${preset.name}\n\nNothing is done yet.\n`;
  return `## ${preset.name}

${WORDS[preset.name].about} ${organisations.length} organisations (${organisations.join(', ')}), ${rows} rows in all, ${preset.rounds} rounds of about ${preset.recordsPerRound} rows. Test rows of each organisation: ${preset.testRows} at most${preset.rankedRows > 0 ? `, of which ${preset.rankedRows} are ranked: by chance of these questions alone a mean share may be wrong by ${chance(organisations.length * preset.rankedRows)} points (one standard error, at most)` : ''}.${commonest === undefined ? '' : ` Always the commonest answer of the training rows would be right in ${points(commonest)}.`}

${baseOf(preset)}

${WORDS[preset.name].settings}

| method | loss | ranked | exact | seeds | seconds |
| --- | ---: | ---: | ---: | ---: | ---: |
${methods.map(row).join('\n')}

![Loss of each method](${plotFile(study, preset)})

${findings(methods).map(asItem).join('\n')}
${numbersSection(preset, numbers)}`;
}

function asItem(line: string): string {
  return `- ${line}`;
}

function numbersSection(preset: DatasetPreset, numbers: readonly NumberSummary[]): string {
  const rows = numbers.flatMap(({ organisations, withoutNoise, record }) =>
    [withoutNoise, record].flatMap((method) =>
      method === undefined ? [] : row({ ...method, title: `${organisations} organisations, ${promiseOf(method)}` }),
    ),
  );
  if (rows.length === 0) return '';
  return `
### Numbers of organisations

Each organisation gives as many rows to a round as ever, so that more organisations make larger rounds. All are measured on the test rows of the
first ${fewestOrganisations(preset)} organisations, whose questions all of them have learned of, among the same labels.

| federated ffa-svd | loss | ranked | exact | seeds | seconds |
| --- | ---: | ---: | ---: | ---: | ---: |
${rows.join('\n')}

${numberFindings(numbers).map(asItem).join('\n')}
`;
}

/** What the title says after the rule. */
function promiseOf({ title }: MethodSummary): string {
  return title.includes('no DP') ? 'no DP' : 'record DP, epsilon 8';
}

function baseOf({ name, warmStart }: DatasetPreset): string {
  if (warmStart === undefined) return 'The base is as it is, in NF4.';
  return `**The base is warmed on what is public, for all methods alike**, as private training is done in practice: ${warmStart.steps} steps of ${warmStart.batchSize} rows, without noise,
${WORDS[name].warm}`;
}

function row({ title, macroLoss, macroRanked, macroAccuracy, seeds, seconds }: MethodSummary): string {
  // One seed has no spread.
  const shown = seeds < 2 ? alone : spread;
  return `| ${title} | ${shown(macroLoss, 1, 3)} | ${macroRanked === undefined ? '–' : `${shown(macroRanked, 100, 1)} %`} | ${shown(macroAccuracy, 100, 1)} % | ${seeds} | ${Math.round(seconds)} |`;
}

/** The standard error of a share of one half of so many questions, in points. */
function chance(questions: number): string {
  return (100 * Math.sqrt(0.25 / questions)).toFixed(1);
}

function alone({ mean }: Spread, unit: number, digits: number): string {
  return (unit * mean).toFixed(digits);
}

function spread({ mean, stddev }: Spread, unit: number, digits: number): string {
  return `${(unit * mean).toFixed(digits)} ± ${(unit * stddev).toFixed(digits)}`;
}
