import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openBaseModel, type Engine, type Example } from '@fedlora/client';
import { parseStudyArguments } from './arguments.js';
import { CellFile, type Cell } from './cells.js';
import { findings, numberFindings } from './findings.js';
import { labelsInWords } from './labels-in-words.js';
import { isHeldOut, readable } from './medquad.js';
import { methodsOf, RECORD_EPSILON_8, titleOf, WITHOUT_NOISE } from './methods.js';
import { lossPlot } from './plot.js';
import { mostOrganisations, presets } from './presets.js';
import { commonestShare, labelCount, labelTree, likeliestLabels, rightlyRanked } from './rank.js';
import { plotFile, report, resultsFile } from './report.js';
import { termsOf } from './run-method.js';
import { summarise, summariseDataset, type MethodSummary } from './summary.js';

const aCell = (changes: Partial<Cell> = {}): Cell => ({
  dataset: 'demo',
  title: 'base model',
  seed: 1,
  results: [
    { loss: 1, accuracy: 0.5 },
    { loss: 3, accuracy: 0.1 },
  ],
  seconds: 2,
  ...changes,
});

describe('a study that is stopped', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-study-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('finds what it has done, and leaves out what it was in the middle of writing', async () => {
    const path = join(folder, 'work', 'reduced.jsonl');
    await (await CellFile.open(path)).add(aCell());
    await appendFile(path, JSON.stringify(aCell({ seed: 2 })).slice(0, 40));
    const again = await CellFile.open(path);
    expect(again.find(aCell())).toEqual(aCell());
    expect(again.find(aCell({ seed: 2 }))).toBeUndefined();
    expect(again.find(aCell({ dataset: 'clinc150' }))).toBeUndefined();
  });

  it('goes on after a line that was cut short, as often as it is stopped', async () => {
    const path = join(folder, 'reduced.jsonl');
    await (await CellFile.open(path)).add(aCell());
    await appendFile(path, '{"dataset":');
    await (await CellFile.open(path)).add(aCell({ seed: 2 }));
    expect((await CellFile.open(path)).cells).toEqual([aCell(), aCell({ seed: 2 })]);
  });
});

describe('the methods of a study', () => {
  it('have terms that a coordinator and its clients take, in every preset', async () => {
    const base = await openBaseModel(fileURLToPath(new URL('../../deploy/demo/base', import.meta.url)));
    for (const preset of Object.values(presets).flatMap(({ datasets }) => datasets)) {
      const row = { ids: Int32Array.of(1, 2), answerStart: 1, row: 0 };
      const training = Array.from({ length: preset.rows }, () => row);
      const all = Array.from({ length: mostOrganisations(preset) }, () => ({ name: 'one', training, test: [] }));
      for (const method of methodsOf(preset)) {
        if (method.kind !== 'federated') continue;
        const organisations = all.slice(0, method.organisations ?? preset.organisations);
        const { privacy } = await termsOf({ preset, organisations, base, seed: 1 }, method);
        expect(privacy.unit).toBe(method.unit);
      }
    }
  });

  it('learn from as many rows of an organisation in a round, and with the same noise, whatever the number of organisations', async () => {
    const base = await openBaseModel(fileURLToPath(new URL('../../deploy/demo/base', import.meta.url)));
    const [preset] = presets.full.datasets;
    const training = Array.from({ length: preset.rows }, () => ({ ids: Int32Array.of(1, 2), answerStart: 1, row: 0 }));
    const terms = (organisations: number) =>
      termsOf(
        {
          preset,
          organisations: Array.from({ length: organisations }, () => ({ name: '', training, test: [] })),
          base,
          seed: 1,
        },
        RECORD_EPSILON_8,
      );
    const [few, many] = [await terms(3), await terms(8)];
    expect(few.training).toMatchObject({ kind: 'record-step', expectedRecords: 614 }); // 1024 x 3 / 5
    expect(many.training).toMatchObject({ kind: 'record-step', expectedRecords: 1638 }); // 1024 x 8 / 5
    expect(few.privacy.noiseMultiplier / many.privacy.noiseMultiplier).toBeCloseTo(1, 2);
  });

  it('have the adapter of their rank', async () => {
    const base = await openBaseModel(fileURLToPath(new URL('../../deploy/demo/base', import.meta.url)));
    const [preset] = presets.full.datasets;
    const training = Array.from({ length: preset.rows }, () => ({ ids: Int32Array.of(1, 2), answerStart: 1, row: 0 }));
    const organisations = Array.from({ length: preset.organisations }, () => ({ name: '', training, test: [] }));
    const { adapter } = await termsOf({ preset, organisations, base, seed: 1 }, { ...RECORD_EPSILON_8, rank: 16 });
    expect(adapter).toMatchObject({ r: 16, loraAlpha: 32 });
  });

  it('have titles of their own: cells are told apart by them', () => {
    for (const { datasets } of Object.values(presets)) {
      for (const dataset of datasets) {
        const names = Array.from({ length: dataset.organisations }, (_, i) => `organisation-${i}`);
        const titles = methodsOf(dataset).map((method) => titleOf(method, names));
        expect(new Set(titles).size).toBe(titles.length);
      }
    }
  });
});

describe('what a base learns before a study', () => {
  const labels = ['card_declined', 'oil_change_when'];
  const rows = labelsInWords(labels, ['where am i']);

  it('asks for every label alike, and in the words of the label at hand', () => {
    for (const label of labels) {
      const own = rows.filter(({ output }) => output === label);
      expect(own).toHaveLength(rows.length / labels.length);
      for (const { instruction } of own)
        expect(instruction.split(' ').some((word) => label.split('_').includes(word))).toBe(true);
    }
  });

  it('is the same for every seed, so that all methods and seeds start alike', () => {
    expect(labelsInWords(labels, ['where am i'])).toEqual(rows);
    expect(new Set(rows.map(({ instruction }) => instruction)).size).toBeGreaterThan(20);
  });
});

describe("MedQuAD's answers", () => {
  const row = (output: string) => ({ output, qtype: 'symptoms', focus: 'Anemia' });

  it('are shown without the question they answer, which would give the kind away', () => {
    const answer = 'Early on there may be none at all, later one is tired.';
    expect(readable([row(`What are the symptoms of anemia? ${answer}`)])).toEqual([row(answer)]);
    expect(readable([row(`Espaol ${answer}`)])).toEqual([row(answer)]);
  });

  it('are there once each, where there is text of their own', () => {
    const answer = 'Early on there may be none at all, later one is tired.';
    const template = 'The Human Phenotype Ontology provides the following list of signs and symptoms for anemia.';
    expect(readable([row(answer), { ...row(answer), qtype: 'causes' }, row('Rare.'), row(template)])).toEqual([
      row(answer),
    ]);
  });

  it('about a disease are all for tests or all for training, whoever writes of it', () => {
    expect(isHeldOut('Anemia ')).toBe(isHeldOut('anemia'));
    const held = Array.from({ length: 400 }, (_, i) => isHeldOut(`disease ${i}`)).filter(Boolean).length;
    expect(held).toBeGreaterThan(60);
    expect(held).toBeLessThan(140);
  });
});

describe('ranked labels', () => {
  const END = 0;
  const [FIRST, SECOND] = [6, 7];
  const vocabularySize = 8;
  const example = (question: readonly number[], label: readonly number[]): Example => ({
    ids: Int32Array.of(...question, ...label, END),
    answerStart: question.length,
    row: 0,
  });
  /** Probabilities of the next token after a question and the beginning of an answer; what is not said is impossible. */
  const next: Readonly<Record<string, Readonly<Record<number, number>>>> = {
    // Each label that begins with 1 has 0.3, the label 4 alone 0.36, and 4 4 4 has 0.04.
    '6:': { 1: 0.6, 4: 0.4 },
    '6:1': { 2: 0.5, 3: 0.5 },
    '6:1,2': { [END]: 1 },
    '6:1,3': { [END]: 1 },
    '6:4': { [END]: 0.9, 4: 0.1 },
    '6:4,4': { 4: 1 },
    '6:4,4,4': { [END]: 1 },
    // What follows 4 is no label at all, for the most part: the label 4 has 0.14, and 1 3 has 0.18.
    '7:': { 1: 0.3, 4: 0.7 },
    '7:1': { 2: 0.4, 3: 0.6 },
    '7:1,3': { [END]: 1 },
    '7:4': { [END]: 0.2, 5: 0.8 },
  };
  let asked = 0;
  const engine: Pick<Engine, 'logits' | 'maximumLength' | 'vocabularySize'> = {
    maximumLength: 32,
    vocabularySize,
    logits: (batch, lengths) => {
      const logits = new Float32Array(batch.examples * vocabularySize);
      lengths.forEach((length, b) => {
        const ids = [...batch.ids.subarray(b * batch.length, b * batch.length + length)];
        const question = Math.max(ids.indexOf(FIRST), ids.indexOf(SECOND));
        const answer = ids.slice(question + 1);
        const probabilities = next[`${ids[question]}:${answer.join(',')}`];
        asked += 1;
        // Logits are not normalised: those of later tokens are shifted by more.
        for (let id = 0; id < vocabularySize; id += 1)
          logits[b * vocabularySize + id] = Math.log(probabilities[id] ?? 1e-9) + 5 * answer.length;
      });
      return Promise.resolve(logits);
    },
  };
  const questions = [example([FIRST], [4]), example([5, 5, SECOND], [4]), example([5, FIRST], [1, 2])];
  const tree = labelTree([...questions, example([5], [1, 3]), example([5], [4, 4, 4]), example([FIRST], [4])]);

  it('are all answers, each once', () => {
    expect(labelCount(tree)).toBe(4);
  });

  it('are compared by the probability of the whole label, its end included: not by its first token, its mean or raw logits', async () => {
    expect(await likeliestLabels(engine, questions, tree)).toEqual([
      [4, END],
      [1, 3, END],
      [4, END],
    ]);
    expect(await rightlyRanked(engine, questions, tree)).toEqual([true, false, false]);
  });

  it('have a share that needs no model: of the commonest answer', () => {
    const organisations = [
      { training: [example([5], [4]), example([5], [4]), example([5], [1, 2])], test: [example([FIRST], [4])] },
      { training: [example([5], [1, 2])], test: [example([5], [1, 2]), example([6], [4]), example([6], [4])] },
      { training: [example([5], [4])], test: [example([5], [1, 2])] },
    ];
    // Of the first two test rows of each: all, one half, none.
    expect(commonestShare(organisations, 2)).toBe(0.5);
  });

  it('are not all computed: only beginnings that may still be of the likeliest', async () => {
    asked = 0;
    await likeliestLabels(engine, questions.slice(0, 1), tree);
    expect(asked).toBe(3); // After nothing, after 1, after 4; all beginnings would be 7.
  });
});

describe('the table of a study', () => {
  const results = (...losses: number[]) => losses.map((loss) => ({ loss, accuracy: 1 / (1 + loss) }));
  const cells = [
    aCell({ title: 'local: a', results: results(0.5, 5.5) }),
    aCell({ title: 'local: a', seed: 2, results: results(0.5, 4.5) }),
    aCell({ title: 'federated ffa-svd, record DP, epsilon 8', results: results(1, 2) }),
  ];
  const titles = ['local: a', 'centralised', 'federated ffa-svd, record DP, epsilon 8'];
  const summaries = summarise(cells, titles);

  it('has mean and deviation over seeds of the mean over organisations, and no line for what was not run', () => {
    expect(summaries.map(({ title, seeds }) => [title, seeds])).toEqual([
      ['local: a', 2],
      ['federated ffa-svd, record DP, epsilon 8', 1],
    ]);
    expect(summaries[0].macroLoss.mean).toBe(2.75);
    expect(summaries[0].macroLoss.stddev).toBeCloseTo(Math.SQRT2 / 4, 12); // Of 3 and 2.5.
    expect(summaries[1].macroLoss).toEqual({ mean: 1.5, stddev: 0 });
  });

  it('says whether private training together is better than every organisation alone', () => {
    expect(findings(summaries)[0]).toContain('**better in loss than every local model**: 1.500 against 2.750');
    const worse: MethodSummary[] = summaries.map((one) =>
      one.title.startsWith('local') ? { ...one, macroLoss: { mean: 1.2, stddev: 0 } } : one,
    );
    expect(findings(worse)[1]).toContain('does not reach: here DP hurts');
    const without = { ...summaries[1], title: titleOf(WITHOUT_NOISE) };
    expect(findings([...worse, without])[1]).toContain('nor do the same rounds without noise');
    expect(findings(worse)[0]).toContain('**not better in loss than the best local model**: 1.500 against 1.200');
  });

  const rankedCell = (title: string, ...ranked: readonly number[]): Cell =>
    aCell({ title, results: ranked.map((share) => ({ loss: 1, accuracy: 0, ranked: share })) });

  it('says whether private training together ranks labels better than every organisation alone', () => {
    const RECORD = 'federated ffa-svd, record DP, epsilon 8';
    const said = (own: number): readonly string[] =>
      findings(
        summarise(
          [
            rankedCell('base model', 0.1, 0.1),
            rankedCell('local: a', 0.5, 0),
            rankedCell('local: b', 0, 0.75),
            rankedCell(RECORD, own, 0),
          ],
          ['base model', 'local: a', 'local: b', RECORD],
        ),
      );
    expect(said(0.8)).toContainEqual(expect.stringContaining('**above every local model**: 40.0 % against 37.5 %'));
    expect(said(0.6)).toContainEqual(expect.stringContaining('**not above the best local model**'));
    // The local models have 0.5 and 0.75 of their own questions.
    expect(said(0.8)).toContainEqual(expect.stringContaining('ranks 62.5 % right on average'));
    expect(said(0.8)).toContainEqual(expect.stringContaining('better off alone'));
    expect(said(1).join()).toContain('better off alone');
    expect(said(0.6).join()).not.toContain('In ranked labels it is no better');
    expect(said(0.2)).toContainEqual(
      expect.stringContaining('**In ranked labels it is no better than the base model**'),
    );
  });

  it('says what each epsilon costs, and how much it leaves of what training adds', () => {
    const titles = [
      'base model',
      titleOf(WITHOUT_NOISE),
      titleOf(RECORD_EPSILON_8),
      'federated ffa-svd, record DP, epsilon 1',
    ];
    const said = findings(
      summarise(
        titles.map((title, i) => rankedCell(title, [0.2, 0.6, 0.5, 0.1][i])),
        titles,
      ),
    ).join();
    expect(said).toContain('0.000 nats and 10.0 points of ranked labels at epsilon 8 and 0.000 nats and 50.0 points');
    expect(said).toContain('Of the 40.0 points of ranked labels');
    expect(said).toContain('epsilon 8 keeps 75 % and epsilon 1 keeps nothing');
  });

  it('says at which price an organisation is better off alone', () => {
    const EPSILON_1 = 'federated ffa-svd, record DP, epsilon 1';
    const said = (own: number): string => {
      const cells = [
        aCell({ results: [{ loss: 2, accuracy: 0, ranked: 0.2 }] }),
        rankedCell('local: a', 0.5),
        rankedCell(EPSILON_1, own),
      ];
      return findings(summarise(cells, ['base model', 'local: a', EPSILON_1])).join();
    };
    expect(said(0.6)).not.toContain(`**${EPSILON_1}`);
    expect(said(0.4)).toContain(`**${EPSILON_1} ranks 40.0 % right, where the best local model ranks 50.0 %**`);
    expect(said(0.1)).toContain(`**${EPSILON_1} ranks 10.0 % right, where the base model ranks 20.0 %**`);
  });

  it('compares ranks and rules with each other, and takes none of them for the usual method', () => {
    const lossCell = (title: string, loss: number): Cell => aCell({ title, results: [{ loss, accuracy: 0 }] });
    const cells = [
      lossCell(titleOf(WITHOUT_NOISE), 0.5),
      lossCell(titleOf({ ...WITHOUT_NOISE, rank: 16 }), 0.25),
      lossCell(titleOf({ ...RECORD_EPSILON_8, rank: 16 }), 2),
      lossCell('federated fedavg, no DP, steps at home', 0.75),
      lossCell('federated fed-sb, no DP, steps at home', 0.625),
    ];
    const said = findings(
      summarise(
        cells,
        cells.map(({ title }) => title),
      ),
    ).join('\n');
    expect(said).toContain('The loss without noise is 0.500 with the usual rank and 0.250 with rank 16.');
    expect(said).toContain('fed-sb (0.625) has the least loss, then fedavg (0.750)');
    expect(said).not.toContain('epsilon 8');
  });

  it('has no mean of ranked labels where some rows were not ranked', () => {
    const [summary] = summarise([rankedCell('local: a', 0.5), aCell({ title: 'local: a', seed: 2 })], ['local: a']);
    expect(summary.macroRanked).toBeUndefined();
    expect(summarise([rankedCell('local: a', 0.5, 0)], ['local: a'])[0].macroRanked).toEqual({ mean: 0.25, stddev: 0 });
  });

  it('says plainly what is worse than doing nothing, and what is not finished', () => {
    const base: MethodSummary = { ...summaries[0], title: 'base model', macroLoss: { mean: 1.4, stddev: 0 } };
    expect(findings([base, ...summaries])).toContainEqual(
      expect.stringContaining('record DP, epsilon 8 is no better than the base model'),
    );
    expect(report(presets.reduced, { done: 3, total: 8, seconds: 61.4 }, [], 'here')).toContain(
      '**Not finished: 3 of 8 cells.**',
    );
  });

  it('begins with all data sets at a glance, where there are several', () => {
    const [clinc, , demo] = presets.full.datasets;
    const facts = { organisations: ['a', 'b'], rows: 10, numbers: [] };
    const ranked = summarise([rankedCell('base model', 0.25)], ['base model']);
    const all = [
      { ...facts, preset: clinc, methods: ranked },
      { ...facts, preset: demo, methods: summaries },
    ];
    const progress = { done: 3, total: 3, seconds: 61.4 };
    const page = report(presets.full, progress, all, 'here');
    expect(page).toContain('| clinc150 | ranked | – | 25.0 % | – |');
    expect(page).toContain('| demo | loss | 2.750 | – | – | – | 1.500 | – |');
    expect(report(presets.full, progress, all.slice(0, 1), 'here')).not.toContain('In short');
  });

  it('is a page with a plot for each data set', () => {
    const [preset] = presets.reduced.datasets;
    const page = report(
      presets.reduced,
      { done: 3, total: 3, seconds: 61.4 },
      [{ preset, organisations: ['a', 'b'], rows: 10, commonest: 0.25, methods: summaries, numbers: [] }],
      'here',
    );
    expect(page).not.toContain('Not finished');
    expect(page).toContain('took 61 seconds of computing');
    expect(page).toContain('| local: a | 2.750 ± 0.354 | – |');
    expect(page).toContain('record DP, epsilon 8 | 1.500 | – |'); // Of one seed.
    expect(page).toContain('(loss-clinc150.svg)');
    expect(page).toContain('the commonest answer of the training rows would be right in 25.0 %');
    const plot = lossPlot('Loss < all', summaries);
    expect(plot).toContain('Loss &lt; all');
    expect(plot.match(/<circle/g)).toHaveLength(2);
    expect(plot).not.toContain('NaN');
    const [alone, record] = summaries;
    const destroyed = { ...record, macroLoss: { mean: 50, stddev: 0 } };
    // To the scale of what has no noise, with its value beside it.
    expect(lossPlot('', [alone, destroyed])).toContain('fill="#fff" stroke="#1864ab"');
    expect(lossPlot('', [alone, destroyed])).toContain('>50.00<');
    expect(lossPlot('', [alone, record])).not.toContain('fill="#fff" stroke');
  });
});

describe('presets of a study', () => {
  it('write files of their own, and their pages know of each other', () => {
    const [dataset] = presets.full.datasets;
    const files = Object.values(presets).flatMap((preset) => [resultsFile(preset), plotFile(preset, dataset)]);
    expect(files).toEqual(['RESULTS.md', 'loss-clinc150.svg', 'RESULTS.full.md', 'loss-clinc150.full.svg']);
    const page = (preset: (typeof presets)['full']) => report(preset, { done: 0, total: 0, seconds: 0 }, [], 'here');
    expect(page(presets.reduced)).toContain('[RESULTS.full.md](RESULTS.full.md)');
    expect(page(presets.full)).toContain('[RESULTS.md](RESULTS.md)');
  });
});

describe('numbers of organisations', () => {
  const [preset] = presets.full.datasets;
  const cell = (title: string, ...losses: readonly number[]): Cell =>
    aCell({ dataset: 'clinc150', title, results: losses.map((loss) => ({ loss, accuracy: 0 })) });
  const organisations = ['a', 'b', 'c', 'd', 'e'];
  const cells = [
    cell(titleOf(WITHOUT_NOISE), 1, 1, 1, 9, 9),
    cell(titleOf(RECORD_EPSILON_8), 2, 2, 2, 9, 9),
    cell(titleOf({ ...WITHOUT_NOISE, organisations: 3 }), 1, 1, 1),
    cell(titleOf({ ...RECORD_EPSILON_8, organisations: 3 }), 3, 3, 3),
    cell(titleOf({ ...RECORD_EPSILON_8, organisations: 8 }), 1, 1, 1),
  ];
  const { methods, numbers } = summariseDataset({ preset, organisations, rows: 1 }, cells);

  it('are compared on the organisations that are there with every number, apart from the other methods', () => {
    expect(
      numbers.map((one) => [one.organisations, one.withoutNoise?.macroLoss.mean, one.record?.macroLoss.mean]),
    ).toEqual([
      [3, 1, 3],
      [5, 1, 2],
      [8, undefined, 1],
    ]);
    expect(methods.map(({ title }) => title)).toEqual([titleOf(WITHOUT_NOISE), titleOf(RECORD_EPSILON_8)]);
  });

  it('make noise cheaper or not, and the page says which', () => {
    expect(numberFindings(numbers)).toEqual([
      'Noise for epsilon 8 costs 2.000 nats with 3 and 1.000 nats with 5 organisations: more organisations make the same epsilon cheaper.',
    ]);
    const dearer = [
      numbers[0],
      { ...numbers[1], record: { ...numbers[0].record!, macroLoss: { mean: 4, stddev: 0 } } },
    ];
    expect(numberFindings(dearer)[0]).toContain('do not make the same epsilon cheaper');
    expect(numberFindings([])).toEqual([]);
  });
});

describe('the command line of the study', () => {
  const defaults = { data: 'data', out: 'out', jobs: 2 };

  it('is the reduced preset unless it says another', () => {
    expect(parseStudyArguments([], defaults)).toMatchObject({ preset: 'reduced', fresh: false, ...defaults });
    expect(parseStudyArguments(['--preset', 'full', '--fresh'], defaults)).toMatchObject({
      preset: 'full',
      fresh: true,
    });
  });

  it.each([
    [['--preset', 'huge'], 'it is reduced or full'],
    [['--rounds', '3'], '--rounds'],
    [['--jobs', '0'], 'a whole number from 1'],
  ])('refuses %s', (given, reason) => {
    expect(() => parseStudyArguments(given, defaults)).toThrow(reason);
  });
});
