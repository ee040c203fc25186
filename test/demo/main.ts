/**
 * `npm run demo`: a whole network on one machine, from private rows to a table that compares what was learnt together with what
 * each organisation can do alone. Read `demo()` from top to bottom: each line is one thing an operator or an owner would do.
 */

import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describeBase, noiseWithin, samplingFor } from '@fedlora/client';
import { routes, type NewApiToken, type RoundView, type RunView } from '@fedlora/shared';
import { Network, writeRows } from '../support/network.js';
import { killInEachPhase, type Outage } from '../support/outages.js';
import { ArgumentError, parseDemoArguments, usage, type DemoArguments } from './arguments.js';
import { loadOwnData } from './own-data.js';
import { generateDemoData, newPhrasingSet, SHARED_SET, type DemoData } from './organisations.js';
import { Progress } from './progress.js';
import { pullCommand } from './pull.js';
import { resultTable, summarise, type Column, type ModelResult, type SetResult } from './table.js';

const root = resolve(import.meta.dirname, '..', '..', '..');
const ROWS_PER_ORGANISATION = 20_000;
const TEST_ROWS = 60;
const SEED = 7;
/** The epsilon that the demo promises not to exceed. */
const EPSILON_CAP = 8;
/** Training of each organisation alone, without noise: more than enough for the loss on its own questions to reach zero. */
const LOCAL = { steps: 200, batchSize: 32, learningRate: 0.005 };

interface RunFile {
  rounds: number;
  base: { name: string; digest?: string; shape?: object };
  privacy: { noiseMultiplier: number; delta: number };
  training: { kind: string; samplingRate: number; expectedRecords: number; maximumRecords: number };
  [field: string]: unknown;
}

/** What `--report` writes. */
interface Report {
  readonly rows: readonly ModelResult[];
  readonly epsilon: number;
  readonly delta: number;
  readonly bytesUpPerClient: number;
  readonly rounds: number;
  readonly abortedRounds: number;
  /** Only with --cluster: when a coordinator was killed, and how every round ended. */
  readonly cluster?: ClusterReport;
  readonly seconds: number;
  readonly adapterDir: string;
  readonly baseDir: string;
  readonly testDir: string;
}

interface ClusterReport {
  readonly outages: readonly Outage[];
  readonly rounds: readonly Pick<RoundView, 'id' | 'number' | 'phase' | 'cause' | 'version'>[];
}

async function demo(options: DemoArguments): Promise<void> {
  const startedAt = Date.now();
  const directory = resolve(options.state);
  const base = resolve(options.base ?? join(root, 'deploy', 'demo', 'base'));
  if (options.cluster) await refuseWithoutPrograms();
  await refuseForeignFolder(directory);
  await rm(directory, { recursive: true, force: true });

  const data = await prepareData(options, directory);
  const names = [...data.training.keys()];
  const network = new Network({
    directory,
    root,
    base,
    organisations: names.map((name) => ({ name, data: [trainingFile(directory, name)] })),
    epsilonCap: EPSILON_CAP,
    hasCluster: options.cluster,
  });
  let interrupted = false;
  const interrupt = (): void => {
    if (interrupted) process.exit(130);
    interrupted = true;
    process.stdout.write('\nStopping ...\n');
    network.stop().then(
      () => process.exit(130),
      () => process.exit(130),
    );
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);

  try {
    say(`Fedlora: ${names.length} organisations train one adapter; nobody shows a row.\n`);
    for (const [name, rows] of data.training)
      say(`  ${name.padEnd(12)} ${rows.length.toLocaleString('en')} private rows`);
    await network.start();
    const description = await describeRun(options, base, data);
    say(`\n  dashboard    ${network.url}`);
    say(`  sign in as   admin, with the password ${network.password}`);
    say(`  files, logs  ${shown(directory)}\n`);

    const run = await network.startRun(description);
    const progress = new Progress(process.stdout, Math.max(1, Math.floor(description.rounds / 12)));
    const [ended, outages] = await Promise.all([
      network.untilRunEnds(run.id, (state, round) => progress.show(state, round)),
      network.cluster === undefined ? undefined : killInEachPhase(network, network.cluster, run.id),
    ]);
    if (ended.status !== 'completed')
      throw new Error(`The run ended early (${ended.status}): ${ended.reason ?? 'no reason given'}`);

    const adapterDir = await pull(network, directory, names[0], ended);
    const rows: ModelResult[] = [];
    if (options.compare) {
      say('\nComparing with what each organisation learns alone, without any privacy noise ...');
      const local = await trainAlone(network, base, directory, names);
      rows.push(...(await compare(network, base, directory, data, new Map([...local, ['federated', adapterDir]]))));
    }

    const report: Report = {
      rows,
      epsilon: ended.epsilon ?? Number.NaN,
      delta: ended.delta,
      bytesUpPerClient: ended.bytesUpPerClient,
      rounds: ended.completedRounds,
      abortedRounds: ended.abortedRounds,
      ...(outages === undefined ? {} : { cluster: { outages, rounds: await accountOf(network, run.id) } }),
      seconds: Math.round((Date.now() - startedAt) / 1000),
      adapterDir,
      baseDir: base,
      testDir: join(directory, 'tests'),
    };
    printResults(report, ended, columnsOf(data));
    if (options.compare) await showAnswers(network, base, adapterDir, data);
    if (options.report !== undefined) await writeFile(options.report, `${JSON.stringify(report, null, 2)}\n`);
    if (options.keep) {
      await showPull(network, base, ended.repository);
      await untilInterrupted(network);
    }
  } catch (error) {
    // What breaks because the network is being stopped is no failure of its own; `interrupt` ends this process.
    if (interrupted) await new Promise<never>(() => {});
    throw error;
  } finally {
    if (!interrupted) await network.stop();
  }
}

/** Writes the training rows of each organisation and the test sets; returns both. */
async function prepareData(options: DemoArguments, directory: string): Promise<DemoData> {
  const data =
    options.data.size > 0
      ? await loadOwnData(options.data)
      : await generateDemoData(join(root, 'deploy', 'demo', 'phrases.json'), {
          organisations: options.organisations,
          rowsPerOrganisation: ROWS_PER_ORGANISATION,
          testRows: TEST_ROWS,
          seed: SEED,
        });
  await mkdir(join(directory, 'data'), { recursive: true });
  await mkdir(join(directory, 'tests'), { recursive: true });
  await writeFile(
    join(directory, '.fedlora-demo'),
    'This folder was made by `npm run demo` and is removed by its next start.\n',
  );
  for (const [name, rows] of data.training) await writeRows(trainingFile(directory, name), rows);
  for (const [name, rows] of data.tests) await writeRows(testFile(directory, name), rows);
  return data;
}

/** The run description of `deploy/demo/run.json`, completed for this base model and these data. */
async function describeRun(options: DemoArguments, base: string, data: DemoData): Promise<RunFile> {
  const description = JSON.parse(await readFile(join(root, 'deploy', 'demo', 'run.json'), 'utf8')) as RunFile;
  const { name, digest, shape } = await describeBase(base);
  description.rounds = options.rounds ?? description.rounds;
  description.base = { name: options.base === undefined ? description.base.name : name, digest, shape };
  const { training, privacy } = description;
  Object.assign(training, samplingFor([...data.training.values()].map((rows) => rows.length)));
  // As much more noise as the cap of every owner's policy asks for.
  privacy.noiseMultiplier = noiseWithin(EPSILON_CAP, privacy.noiseMultiplier, {
    samplingRate: training.samplingRate,
    steps: description.rounds,
    delta: privacy.delta,
  });
  return description;
}

/** The newest version as a service downstream gets it: checked against the coordinator's key, as the organisation pinned it. */
async function pull(network: Network, directory: string, organisation: string, run: RunView): Promise<string> {
  const to = join(directory, 'adapter');
  const where = ['--channel', run.version, '--home', network.home(organisation), '--to', to];
  const env = { FEDLORA_COORDINATOR: network.url, FEDLORA_API_TOKEN: network.token };
  await network.fedlora(['pull', run.repository, ...where], env);
  return join(to, 'current');
}

/** How every round of the run ended. */
async function accountOf(network: Network, runId: string): Promise<ClusterReport['rounds']> {
  const rounds = await network.rounds(runId);
  return rounds.map(({ id, number, phase, cause, version }) => ({ id, number, phase, cause, version }));
}

/** `fedlora train` for each organisation on its own rows: two at a time, as there are two cores. */
async function trainAlone(
  network: Network,
  base: string,
  directory: string,
  names: readonly string[],
): Promise<Map<string, string>> {
  const adapters = new Map(names.map((name) => [`local:${name}`, join(directory, 'alone', name)]));
  const waiting = [...names];
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const arguments_ = [
        'train',
        '--base',
        base,
        '--data',
        trainingFile(directory, name),
        '--out',
        join(directory, 'alone', name),
      ];
      const settings = [
        '--steps',
        String(LOCAL.steps),
        '--batch-size',
        String(LOCAL.batchSize),
        '--learning-rate',
        String(LOCAL.learningRate),
      ];
      await network.fedlora([
        ...arguments_,
        ...settings,
        '--rank',
        '8',
        '--alpha',
        '16',
        '--max-length',
        '128',
        '--seed',
        '0',
        '--threads',
        '1',
      ]);
    }
  };
  await Promise.all([worker(), worker()]);
  return adapters;
}

/** Evaluates the base and every adapter on every test set, on the unquantized base as a downstream service would serve it. */
async function compare(
  network: Network,
  base: string,
  directory: string,
  data: DemoData,
  adapters: ReadonlyMap<string, string>,
): Promise<ModelResult[]> {
  const sets = [...data.tests.keys()];
  const evaluate = async (model: string, adapter: readonly string[]): Promise<ModelResult> => {
    const files = sets.flatMap((set) => ['--data', testFile(directory, set)]);
    const { stdout } = await network.fedlora([
      'eval',
      '--base',
      base,
      ...adapter,
      ...files,
      '--quantization',
      'none',
      '--threads',
      '2',
      '--json',
    ]);
    const { files: results } = JSON.parse(stdout) as { files: readonly SetResult[] };
    return summarise(model, Object.fromEntries(sets.map((set, index) => [set, results[index]])));
  };
  const rows = [await evaluate('base', [])];
  for (const [model, adapter] of adapters) rows.push(await evaluate(model, ['--adapter', adapter]));
  return rows;
}

/** One question of the last test set, answered by the base model and by the federated adapter. */
async function showAnswers(network: Network, base: string, adapter: string, data: DemoData): Promise<void> {
  const row = [...data.tests.values()].at(-1)?.[0];
  if (row === undefined) return;
  const question = ['--instruction', row.instruction, '--input', row.input];
  const answer = async (model: readonly string[]): Promise<string> => {
    const settings = ['--max-new-tokens', '24', '--quantization', 'none', '--threads', '1', '--json'];
    const { stdout } = await network.fedlora(['generate', '--base', base, ...model, ...question, ...settings]);
    const { text } = JSON.parse(stdout) as { readonly text: string };
    return text.replaceAll(/\s+/g, ' ').trim();
  };
  const [before, after] = await Promise.all([answer([]), answer(['--adapter', adapter])]);
  say(`\n  asked        ${(row.input === '' ? row.instruction : row.input).replaceAll(/\s+/g, ' ')}`);
  say(`  base model   ${before === '' ? '(nothing)' : before}`);
  say(`  federated    ${after === '' ? '(nothing)' : after}`);
  say(`  right        ${row.output}`);
}

/** Columns of the table: each organisation's own set, all unseen phrasings together, the shared set. */
function columnsOf(data: DemoData): Column[] {
  const names = [...data.training.keys()];
  const columns: Column[] = names.map((name) => ({ title: name, sets: [name] }));
  if (data.tests.has(SHARED_SET)) {
    columns.push({ title: 'new words', sets: names.map(newPhrasingSet) }, { title: 'shared', sets: [SHARED_SET] });
  }
  return columns;
}

function printResults(report: Report, run: RunView, columns: readonly Column[]): void {
  if (report.rows.length > 0) printComparison(report.rows, columns);
  const megabytes = (report.bytesUpPerClient / 1e6).toFixed(1);
  say(
    `\n  privacy      each record: epsilon ${report.epsilon.toFixed(2)} at delta ${report.delta} (${report.rounds} rounds, RDP accountant)`,
  );
  say(`  sent         ${megabytes} MB by each organisation: masked, noised words`);
  if (report.cluster !== undefined) printAccount(report.cluster);
  else if (report.abortedRounds > 0) say(`  aborted      ${report.abortedRounds} rounds; the dashboard tells why`);
  say(`  adapter      ${shown(report.adapterDir)}`);
  say(`  base model   ${run.baseName}, ${shown(report.baseDir)}`);
  say(`  time         ${Math.floor(report.seconds / 60)} min ${report.seconds % 60} s`);
}

function printComparison(rows: readonly ModelResult[], columns: readonly Column[]): void {
  say('\nWhole answers right (%), and loss in nats per answer token, on questions nobody trained on:\n');
  say(resultTable(rows, columns));
  if (columns.some((column) => column.sets.includes(SHARED_SET))) {
    say('\n  shared: requests that every organisation gets, each in its own customers’ words; no one knows all');
    say('  of them alone. new words: phrases that are in nobody’s data. macro: mean over all sets.');
  }
}

function printAccount({ outages, rounds }: ClusterReport): void {
  const killed = outages.map(({ phase, roundId }) => {
    const round = rounds.find(({ id }) => id === roundId);
    return `${phase} (round ${round?.number}, which ${round?.phase === 'done' ? 'went on' : 'was aborted'})`;
  });
  say(`  killed       ${killed.length === 0 ? 'nobody' : `whoever drove, in ${killed.join(',\n               ')}`}`);
  const aborted = rounds.filter(({ phase }) => phase !== 'done');
  say(`  rounds       ${rounds.length} begun, ${rounds.length - aborted.length} done, ${aborted.length} aborted`);
  for (const { number, phase, cause } of aborted) say(`               round ${number}: ${phase}, ${cause}`);
}

/** The command line by which Python pulls the adapter, with a token that may do nothing else. */
async function showPull(network: Network, base: string, repository: string): Promise<void> {
  const request = { name: 'pull', permissions: ['versions.read'] };
  const { token } = await network.post<NewApiToken>(routes.tokens, request);
  say('\nPull the adapter, in another terminal (pip install torch transformers peft huggingface_hub):\n');
  say(pullCommand({ url: network.url, token, base, repository }));
}

async function untilInterrupted(network: Network): Promise<void> {
  say(`\nThe network keeps running: ${network.url}/#token=${network.token}\nCtrl-C stops it.`);
  await new Promise<never>(() => setInterval(() => {}, 60_000));
}

async function refuseWithoutPrograms(): Promise<void> {
  const { missingForCluster } = await import('../support/cluster.js');
  if (missingForCluster.length > 0)
    throw new ArgumentError(`--cluster cannot run here:\n  ${missingForCluster.join('\n  ')}`);
}

/** Never remove a folder that the demo did not make. */
async function refuseForeignFolder(directory: string): Promise<void> {
  if (existsSync(directory) && !existsSync(join(directory, '.fedlora-demo'))) {
    throw new ArgumentError(`--state ${directory}: exists and was not made by the demo. Choose a new folder.`);
  }
}

const trainingFile = (directory: string, name: string): string => join(directory, 'data', `${name}.jsonl`);
const testFile = (directory: string, set: string): string => join(directory, 'tests', `${set}.jsonl`);

function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  const options = parseDemoArguments(process.argv.slice(2), join(root, '.fedlora', 'demo'));
  if (options.help) {
    say(usage);
  } else if (options.clean) {
    await refuseForeignFolder(resolve(options.state));
    await rm(resolve(options.state), { recursive: true, force: true });
    say(`Removed ${shown(resolve(options.state))}.`);
  } else {
    await demo(options);
  }
} catch (error) {
  process.stderr.write(
    `\n${error instanceof ArgumentError ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
}
