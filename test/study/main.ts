/** `npm run study`: what training together is worth, and what privacy costs, in tables and plots. */

import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { loadTokenizer, type Example } from '@fedlora/client';
import { format, resolveConfig } from 'prettier';
import { ArgumentError, parseStudyArguments, usage, type StudyArguments } from './arguments.js';
import { computeCells } from './cell-pool.js';
import { CellFile } from './cells.js';
import { MissingData, openDataset } from './datasets.js';
import { methodsOf, titleOf } from './methods.js';
import { lossPlot } from './plot.js';
import { presets, type DatasetPreset, type Preset } from './presets.js';
import { plotFile, report, type DatasetSummary, type StudyProgress } from './report.js';
import { summarise } from './summary.js';
import { makeWarmBase } from './warm-base.js';

const root = resolve(import.meta.dirname, '..', '..', '..');
const RESULTS = 'RESULTS.md';
/** Of a cell that has a time and no results. */
const WARM_START = 'warm start';
const baseFolder = join(root, 'deploy', 'demo', 'base');

async function study({ preset: name, data, out, jobs, fresh }: StudyArguments): Promise<void> {
  const preset = presets[name];
  // Of a preset that was changed, nothing is taken over.
  const hash = createHash('sha256').update(JSON.stringify(preset)).digest('hex').slice(0, 8);
  const work = join(root, '.fedlora', 'study', `${name}-${hash}`);
  if (fresh) for (const made of [`${work}.jsonl`, `${work}-base`]) await rm(made, { recursive: true, force: true });
  const file = await CellFile.open(`${work}.jsonl`);
  const tokenizer = await loadTokenizer(baseFolder);
  const phrases = join(root, 'deploy', 'demo', 'phrases.json');
  const total = preset.datasets.reduce((sum, one) => sum + methodsOf(one).length, 0) * preset.seeds.length;
  const begun = new Map<DatasetPreset, Pick<DatasetSummary, 'organisations' | 'rows'>>();
  const write = (): Promise<void> => {
    const done = file.cells.filter(({ title }) => title !== WARM_START).length;
    return writeResults(out, preset, { done, total, seconds: file.seconds }, summaries(begun, file));
  };

  for (const one of preset.datasets) {
    const sources = { phrases, data, tokenizer };
    const { organisations, publicExamples } = await openDataset(one, sources, preset.seeds[0]);
    const names = organisations.map((organisation) => organisation.name);
    begun.set(one, {
      organisations: names,
      rows: organisations.reduce((sum, { training }) => sum + training.length, 0),
    });
    const base = await baseOf(one, publicExamples, `${work}-base`, file);
    const tasks = preset.seeds
      .flatMap((seed) => methodsOf(one).map((method) => ({ seed, method, title: titleOf(method, names) })))
      .filter(({ seed, title }) => file.find({ dataset: one.name, title, seed }) === undefined)
      .map((task) => ({ ...task, preset: one, base, tokenizer: baseFolder, phrases, data }));
    await computeCells(
      tasks,
      jobs,
      ({ seed, title }, share) => show(`${one.name}, seed ${seed}, ${title}: ${Math.round(100 * share)} %`),
      async ({ seed, title }, results, seconds) => {
        await file.add({ dataset: one.name, title, seed, results, seconds });
        const losses = results.map(({ loss }) => loss.toFixed(2)).join(' ');
        show('');
        const what = `${file.cells.filter(({ results: some }) => some.length > 0).length}/${total}  ${one.name}, seed ${seed}, ${title}`;
        process.stderr.write(`${what}: loss ${losses} in ${seconds.toFixed(0)} s\n`);
      },
    );
    // What there is so far can be read while the rest goes on.
    await write();
  }
  process.stdout.write(`Wrote ${join(out, RESULTS)}, whose cells took ${Math.round(file.seconds)} s.\n`);
}

/** Folder of the base that all methods start from. The time that a warm start takes is kept as a cell of its own. */
async function baseOf(
  { name: dataset, warmStart }: DatasetPreset,
  examples: readonly Example[],
  folder: string,
  file: CellFile,
): Promise<string> {
  if (warmStart === undefined) return baseFolder;
  const target = join(folder, dataset);
  const startedAt = performance.now();
  const onProgress = (share: number): void => show(`${dataset}, warm start: ${Math.round(100 * share)} %`);
  await makeWarmBase({ folder: baseFolder, examples, warmStart, target, onProgress });
  if (file.find({ dataset, title: WARM_START, seed: 0 }) !== undefined) return target;
  const seconds = (performance.now() - startedAt) / 1000;
  await file.add({ dataset, title: WARM_START, seed: 0, results: [], seconds });
  show('');
  process.stderr.write(`${dataset}, warm start: ${examples.length} public rows in ${seconds.toFixed(0)} s\n`);
  return target;
}

/** The line of a terminal; where there is none, nothing. */
function show(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${line}`);
}

function summaries(
  begun: ReadonlyMap<DatasetPreset, Pick<DatasetSummary, 'organisations' | 'rows'>>,
  { cells }: CellFile,
): readonly DatasetSummary[] {
  return [...begun].map(([preset, facts]) => {
    const titles = methodsOf(preset).map((method) => titleOf(method, facts.organisations));
    const own = cells.filter(({ dataset }) => dataset === preset.name);
    return { preset, ...facts, methods: summarise(own, titles) };
  });
}

async function writeResults(
  out: string,
  preset: Preset,
  progress: StudyProgress,
  datasets: readonly DatasetSummary[],
): Promise<void> {
  await mkdir(out, { recursive: true });
  for (const summary of datasets) {
    const title = `Loss on all organisations' test rows: ${summary.preset.name}`;
    await writeFile(join(out, plotFile(summary.preset)), lossPlot(title, summary.methods));
  }
  const [processor] = cpus();
  const machine = `${cpus().length} cores (${processor.model.trim()}), Node.js ${process.versions.node}`;
  const style = { ...(await resolveConfig(join(root, 'README.md'))), parser: 'markdown' };
  await writeFile(join(out, RESULTS), await format(report(preset, progress, datasets, machine), style));
}

try {
  const defaults = {
    data: join(root, '..', 'shared', 'data'),
    out: join(root, 'test', 'study'),
    jobs: availableParallelism(),
  };
  const options = parseStudyArguments(process.argv.slice(2), defaults);
  if (options.help) process.stdout.write(usage);
  else await study(options);
} catch (error) {
  if (!(error instanceof ArgumentError || error instanceof MissingData)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
