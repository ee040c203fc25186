/**
 * The demo's organisations: private requests and how to route them, generated from `deploy/demo/phrases.json`.
 *
 * Every organisation has six intents of its own and shares six with all others; of the shared ones it knows only its own
 * customers' way of asking. So no organisation alone can answer the shared test set, and the last phrase of each private intent is
 * kept out of all training data: it tests what was learnt beyond the words.
 */

import { readFile } from 'node:fs/promises';

export interface Row {
  readonly instruction: string;
  readonly input: string;
  readonly output: string;
}

interface Phrases {
  readonly names: readonly string[];
  readonly days: readonly string[];
  readonly before: readonly string[];
  readonly after: readonly string[];
  /** Label -> one list of phrases for each organisation's style. */
  readonly shared: Readonly<Record<string, readonly (readonly string[])[]>>;
  /** Organisation -> label -> phrases; the last is never trained on. */
  readonly private: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

export interface DemoData {
  /** Training rows by organisation. */
  readonly training: ReadonlyMap<string, readonly Row[]>;
  /** Test rows by set: each organisation, each organisation in words nobody trained on, and the shared intents in all styles. */
  readonly tests: ReadonlyMap<string, readonly Row[]>;
}

export interface DemoDataOptions {
  readonly organisations: number;
  readonly rowsPerOrganisation: number;
  readonly testRows: number;
  readonly seed: number;
}

/** Share of an organisation's rows that are shared intents. */
const SHARED_FRACTION = 0.35;

export const SHARED_SET = 'shared';
export const newPhrasingSet = (organisation: string): string => `${organisation}-new-phrasing`;

/** mulberry32: small, seeded, good enough to choose phrases; nothing private rests on it. */
export function seededUniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Generates the data of the first `organisations` organisations; the same options give the same rows. */
export async function generateDemoData(phrasesFile: string, options: DemoDataOptions): Promise<DemoData> {
  const phrases = JSON.parse(await readFile(phrasesFile, 'utf8')) as Phrases;
  const names = Object.keys(phrases.private);
  if (options.organisations < 2 || options.organisations > names.length) {
    throw new RangeError(`The demo has 2 to ${names.length} organisations, not ${options.organisations}.`);
  }
  const organisations = names.slice(0, options.organisations);
  const uniform = seededUniform(options.seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(uniform() * values.length)];

  const row = (phrase: string, label: string): Row => {
    const [desk, step] = label.split('|');
    const after = pick(phrases.after)
      .replace('{name}', pick(phrases.names))
      .replace('{day}', pick(phrases.days))
      .replace('{number}', String(1000 + Math.floor(uniform() * 9000)));
    return {
      instruction: 'Route this request.',
      input: `${pick(phrases.before)}${phrase}${after}`,
      output: `desk: ${desk} | step: ${step}`,
    };
  };
  const sharedRow = (styles: readonly number[]): Row => {
    const label = pick(Object.keys(phrases.shared));
    return row(pick(phrases.shared[label][pick(styles)]), label);
  };
  const privateRow = (organisation: string): Row => {
    const label = pick(Object.keys(phrases.private[organisation]));
    return row(pick(phrases.private[organisation][label].slice(0, -1)), label);
  };
  const rows = (count: number, make: () => Row): Row[] => Array.from({ length: count }, make);

  const training = new Map<string, readonly Row[]>();
  const tests = new Map<string, readonly Row[]>();
  organisations.forEach((organisation, style) => {
    training.set(
      organisation,
      rows(options.rowsPerOrganisation, () =>
        uniform() < SHARED_FRACTION ? sharedRow([style]) : privateRow(organisation),
      ),
    );
  });
  for (const organisation of organisations) {
    tests.set(
      organisation,
      rows(options.testRows, () => privateRow(organisation)),
    );
  }
  for (const organisation of organisations) {
    const unseen = Object.entries(phrases.private[organisation]).flatMap(([label, known]) =>
      rows(5, () => row(known[known.length - 1], label)),
    );
    tests.set(newPhrasingSet(organisation), unseen);
  }
  tests.set(
    SHARED_SET,
    rows(options.testRows, () => sharedRow(organisations.map((_, style) => style))),
  );
  return { training, tests };
}
