/** What `fedlora data check` finds in real rows: values that were planted in them, and what it takes for one where nobody planted any. */

import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fedlora } from '../../../../test/support/command-line.js';
import { plantedRows } from '../../../../test/support/planted-rows.js';
import type { DataReport } from '../../cli/data-report.js';
import { readRows, type AlpacaRow } from '../rows.js';
import { findingKinds, type FindingKind } from './detectors.js';
import { surveyPersonalData, type Survey } from './survey.js';

const shared = resolve(import.meta.dirname, '../../../../../shared/data');
const readme = resolve(import.meta.dirname, '../../../README.md');
const PER_KIND = 100;

/** Most findings in 1,000 rows that nobody planted anything in, names aside. */
const sets = [
  // Short questions to a bank, a clinic and a council.
  { folder: 'demo', most: 0 },
  // Sentences to an assistant: nothing personal in any of them.
  { folder: 'clinc150/alpaca-by-domain', most: 0 },
  // Texts of the web: addresses and numbers of companies, an example of a letter, and nine sizes that pass for a DNI by chance.
  { folder: 'dolly15k', most: 2.2 },
] as const;

async function rowsOf(folder: string): Promise<readonly AlpacaRow[]> {
  const files = readdirSync(join(shared, folder))
    .filter((name) => /\.jsonl?$/.test(name) && !name.startsWith('suggested'))
    .map((name) => join(shared, folder, name));
  // Safe: that is the format asked for.
  return (await readRows(files, { format: 'alpaca', maximumBadFraction: 1 })).rows as readonly AlpacaRow[];
}

if (!existsSync(shared))
  describe('real rows', () => {
    it(`are not met here: ${shared} is absent`, () => {
      expect(existsSync(shared)).toBe(false);
    });
  });
else
  describe('fedlora data check on real rows', () => {
    let folder: string;
    const found = new Map<FindingKind, number>();
    const alarms = new Map<string, { readonly rows: number; readonly kinds: Survey['kinds'] }>();

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'fedlora-real-'));
      const demo = await rowsOf('demo');
      const planted = findingKinds.flatMap((kind) => plantedRows(kind, PER_KIND, 'real'));
      expect(planted.length).toBeLessThanOrEqual(demo.length);
      const lines = demo.map(({ instruction, input, output }, i) => ({
        instruction: i < planted.length ? `${instruction} ${planted[i].text}` : instruction,
        input,
        output,
      }));
      const file = join(folder, 'planted.jsonl');
      await writeFile(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
      const { out } = await fedlora(['data', 'check', '--data', file, '--show', '100000', '--json']);
      const { examples } = (JSON.parse(out) as DataReport).personal;
      planted.forEach(({ kind, text, start, end }, i) => {
        const value = text.slice(start, end);
        const isFound = examples.some((one) => one.line === i + 1 && one.kind === kind && one.text.includes(value));
        found.set(kind, (found.get(kind) ?? 0) + Number(isFound));
      });
      for (const { folder: name } of sets) {
        const rows = await rowsOf(name);
        alarms.set(name, { rows: rows.length, kinds: surveyPersonalData(rows, 0).kinds });
      }
    }, 60_000);
    afterAll(async () => rm(folder, { recursive: true }));

    it.each(findingKinds)('finds at least 95 of 100 planted values of kind %s, as that kind and in full', (kind) => {
      expect((found.get(kind) ?? 0) / PER_KIND).toBeGreaterThanOrEqual(0.95);
    });

    it.each(sets)('takes at most $most in 1,000 rows of $folder for one, names aside', ({ folder: name, most }) => {
      const { rows, kinds } = alarms.get(name)!;
      const { name: _names, ...others } = kinds;
      const count = Object.values(others).reduce((sum, { findings }) => sum + findings, 0);
      expect((1000 * count) / rows, JSON.stringify(kinds)).toBeLessThanOrEqual(most);
    });

    it('does as the README says', async () => {
      const table = findingKinds.map((kind) => {
        const counts = sets.map(({ folder: name }) => alarms.get(name)?.kinds[kind]?.findings ?? 0);
        return [kind, `${found.get(kind)} of ${PER_KIND}`, ...counts.map((count) => count.toLocaleString('en-US'))];
      });
      const lines = (await readFile(readme, 'utf8'))
        .split('\n')
        .map((line) => line.split('|').map((cell) => cell.trim()));
      const shown = lines
        .filter(([, kind]) => findingKinds.some((one) => one === kind))
        .map((cells) => cells.slice(1, -1));
      expect(shown).toEqual(table);
      const heading = lines.find(([, first]) => first === 'kind')?.slice(3, -1);
      expect(heading?.map((cell) => / ([\d,]+) rows$/.exec(cell)?.[1])).toEqual(
        [...alarms.values()].map(({ rows }) => rows.toLocaleString('en-US')),
      );
    });
  });
