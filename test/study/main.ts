/** `npm run study`: what training together is worth, and what privacy costs, in tables and plots. */

import { createHash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { loadTokenizer, openBaseModel } from '@fedlora/client';
import { format, resolveConfig } from 'prettier';
import { ArgumentError, parseStudyArguments, usage, type StudyArguments } from './arguments.js';
import { CellFile } from './cells.js';
import { MissingData, openDataset } from './datasets.js';
import { methodsOf, titleOf } from './methods.js';
import { lossPlot } from './plot.js';
import { presets, type DatasetPreset, type Preset } from './presets.js';
import { plotFile, report, type DatasetSummary, type StudyProgress } from './report.js';
import { runMethod } from './run-method.js';
import { summarise } from './summary.js';

const root = resolve(import.meta.dirname, '..', '..', '..');
const RESULTS = 'RESULTS.md';
const baseFolder = join(root, 'deploy', 'demo', 'base');

async function study({ preset: name, data, out, fresh }: StudyArguments): Promise<void> {
  const preset = presets[name];
  // Of a preset that was changed, nothing is taken over.
  const hash = createHash('sha256').update(JSON.stringify(preset)).digest('hex').slice(0, 8);
  const work = join(root, '.fedlora', 'study', `${name}-${hash}.jsonl`);
  if (fresh) await rm(work, { force: true });
  const file = await CellFile.open(work);
  const base = await openBaseModel(baseFolder);
  const tokenizer = await loadTokenizer(baseFolder);
  const sources = { phrases: join(root, 'deploy', 'demo', 'phrases.json'), data, tokenizer };
  const total = preset.datasets.reduce((sum, one) => sum + methodsOf(one).length, 0) * preset.seeds.length;
  let done = 0;
  const begun = new Map<DatasetPreset, Pick<DatasetSummary, 'organisations' | 'rows'>>();

  for (const one of preset.datasets) {
    for (const seed of preset.seeds) {
      const organisations = await openDataset(one, sources, seed);
      const names = organisations.map((organisation) => organisation.name);
      begun.set(one, {
        organisations: names,
        rows: organisations.reduce((sum, { training }) => sum + training.length, 0),
      });
      for (const method of methodsOf(one)) {
        const title = titleOf(method, names);
        const what = `${(done += 1)}/${total}  ${one.name}, seed ${seed}, ${title}`;
        if (file.find({ dataset: one.name, title, seed }) !== undefined) continue;
        const startedAt = performance.now();
        const onProgress = (share: number): void => show(`${what}: ${Math.round(100 * share)} %`);
        const results = await runMethod({ method, preset: one, organisations, base, seed, onProgress });
        const seconds = (performance.now() - startedAt) / 1000;
        await file.add({ dataset: one.name, title, seed, results, seconds });
        const losses = results.map(({ loss }) => loss.toFixed(2)).join(' ');
        show('');
        process.stderr.write(`${what}: loss ${losses} in ${seconds.toFixed(0)} s\n`);
      }
      // What there is so far can be read while the rest goes on.
      await writeResults(out, preset, { done, total, seconds: file.seconds }, summaries(begun, file));
    }
  }
  process.stdout.write(`Wrote ${join(out, RESULTS)}, which took ${Math.round(file.seconds)} s.\n`);
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
  const defaults = { data: join(root, '..', 'shared', 'data'), out: join(root, 'test', 'study') };
  const options = parseStudyArguments(process.argv.slice(2), defaults);
  if (options.help) process.stdout.write(usage);
  else await study(options);
} catch (error) {
  if (!(error instanceof ArgumentError || error instanceof MissingData)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}
