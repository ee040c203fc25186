/** `npm run study`: what training together is worth, and what privacy costs, in tables and plots. */

import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { loadTokenizer, type Example } from '@fedlora/client';
import { format, resolveConfig } from 'prettier';
import { ArgumentError, parseStudyArguments, usage, type StudyArguments } from './arguments.js';
import { computeCells } from './cell-pool.js';
import { CellFile, type Cell } from './cells.js';
import { openDataset } from './datasets.js';
import { methodsOf, titleOf, type Method } from './methods.js';
import { lossPlot } from './plot.js';
import { presets, type DatasetPreset, type Preset } from './presets.js';
import { commonestShare } from './rank.js';
import { plotFile, report, resultsFile, type StudyProgress } from './report.js';
import { MissingData, type DatasetSources } from './study-data.js';
import { summariseDataset, type DatasetFacts, type DatasetSummary } from './summary.js';
import { makeWarmBase } from './warm-base.js';

const root = resolve(import.meta.dirname, '..', '..', '..');
/** Of a cell that has a time and no results. */
const WARM_START = 'warm start';
const baseFolder = join(root, 'deploy', 'demo', 'base');

/** A data set of the study with what is done of it. */
interface Begun extends DatasetFacts {
  readonly file: CellFile;
  /** Folder of the base that its methods start from. */
  readonly base: string;
}

async function study({ preset: name, data, out, jobs, fresh }: StudyArguments): Promise<void> {
  const preset = presets[name];
  const tokenizer = await loadTokenizer(baseFolder);
  const phrases = join(root, 'deploy', 'demo', 'phrases.json');
  const begun: Begun[] = [];
  for (const one of preset.datasets) begun.push(await begin(one, { phrases, data, tokenizer }, preset.seeds[0], fresh));
  const cells = (): readonly Cell[] =>
    begun.flatMap(({ file }) =>
      file.cells.filter(({ title, seed }) => title === WARM_START || preset.seeds.includes(seed)),
    );
  const progress = (): StudyProgress => ({
    done: cells().filter(({ title }) => title !== WARM_START).length,
    total: begun.reduce((sum, one) => sum + methodsOf(one.preset).length, 0) * preset.seeds.length,
    seconds: cells().reduce((sum, { seconds }) => sum + seconds, 0),
  });
  const write = (): Promise<void> =>
    writeResults(
      out,
      preset,
      progress(),
      begun.map((one) => summariseDataset(one, cells())),
    );
  const tasks = preset.seeds
    .flatMap((seed) => inTurns(begun.map((one) => methodsOf(one.preset).map((method) => taskOf(one, method, seed)))))
    .filter(({ file, title, seed, preset: { name: dataset } }) => file.find({ dataset, title, seed }) === undefined)
    .map((task) => ({ ...task, tokenizer: baseFolder, phrases, data }));
  // What was done before is written with what is known now.
  let written = progress().done > 0 ? write() : Promise.resolve();
  await computeCells(
    tasks,
    jobs,
    ({ preset: { name: dataset }, seed, title }, share) =>
      show(`${dataset}, seed ${seed}, ${title}: ${Math.round(100 * share)} %`),
    async ({ preset: { name: dataset }, seed, title, file }, results, seconds) => {
      await file.add({ dataset, title, seed, results, seconds });
      const { done, total } = progress();
      const losses = results.map(({ loss }) => loss.toFixed(2)).join(' ');
      show('');
      process.stderr.write(
        `${done}/${total}  ${dataset}, seed ${seed}, ${title}: loss ${losses} in ${seconds.toFixed(0)} s\n`,
      );
      written = written.then(write);
      await written;
    },
  );
  await written;
  process.stdout.write(
    `Wrote ${join(out, resultsFile(preset))}, whose cells took ${Math.round(progress().seconds)} s.\n`,
  );
}

/** The first of each list, then the second of each, so that what is not finished has something of all. */
function inTurns<Item>(lists: readonly (readonly Item[])[]): readonly Item[] {
  const longest = Math.max(...lists.map(({ length }) => length));
  return Array.from({ length: longest }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat();
}

function taskOf({ preset, organisations, file, base }: Begun, method: Method, seed: number) {
  return { preset, method, seed, file, base, title: titleOf(method, organisations) };
}

/** Its facts, the cells that are done, and its base, which is made if it is not there. Of a data set whose preset was changed nothing is taken over. */
async function begin(preset: DatasetPreset, sources: DatasetSources, seed: number, fresh: boolean): Promise<Begun> {
  const hash = createHash('sha256').update(JSON.stringify(preset)).digest('hex').slice(0, 8);
  const work = join(root, '.fedlora', 'study', `${preset.name}-${hash}`);
  if (fresh) for (const made of [`${work}.jsonl`, `${work}-base`]) await rm(made, { recursive: true, force: true });
  const file = await CellFile.open(`${work}.jsonl`);
  const { organisations: all, publicExamples } = await openDataset(preset, sources, seed);
  const organisations = all.slice(0, preset.organisations);
  return {
    preset,
    organisations: organisations.map(({ name }) => name),
    rows: organisations.reduce((sum, { training }) => sum + training.length, 0),
    ...(preset.rankedRows > 0 && { commonest: commonestShare(organisations, preset.rankedRows) }),
    file,
    base: await baseOf(preset, publicExamples, `${work}-base`, file),
  };
}

/** Folder of the base that all methods start from. The time that a warm start takes is kept as a cell of its own. */
async function baseOf(
  { name: dataset, warmStart }: DatasetPreset,
  examples: readonly Example[],
  target: string,
  file: CellFile,
): Promise<string> {
  if (warmStart === undefined) return baseFolder;
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

async function writeResults(
  out: string,
  preset: Preset,
  progress: StudyProgress,
  datasets: readonly DatasetSummary[],
): Promise<void> {
  await mkdir(out, { recursive: true });
  for (const summary of datasets) {
    if (summary.methods.length === 0) continue;
    const title = `Loss on all organisations' test rows: ${summary.preset.name}`;
    await writeFile(join(out, plotFile(preset, summary.preset)), lossPlot(title, summary.methods));
  }
  const [processor] = cpus();
  const machine = `${cpus().length} cores (${processor.model.trim()}), Node.js ${process.versions.node}`;
  const style = { ...(await resolveConfig(join(root, 'README.md'))), parser: 'markdown' };
  await writeFile(join(out, resultsFile(preset)), await format(report(preset, progress, datasets, machine), style));
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
