import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { aManifest } from '../../../test/support/a-manifest.js';
import { readExamples } from './read-examples.js';
import { exampleTerms } from './round-example.js';

const base = fileURLToPath(new URL('../../../deploy/demo/base', import.meta.url));

describe('readExamples', () => {
  it('marks the rows that the terms hold out, whichever rows could not be read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-rows-'));
    const rows = Array.from({ length: 60 }, (_, i) => ({ instruction: `route ${i}`, input: '', output: 'desk' }));
    const file = join(folder, 'rows.jsonl');
    const write = (lines: readonly unknown[]): Promise<void> =>
      writeFile(file, lines.map((line) => JSON.stringify(line)).join('\n'));
    const evaluation = { fraction: 0.3 };
    const terms = exampleTerms(aManifest({ metrics: { ...aManifest().metrics, evaluation } }));
    expect(terms.heldOutFraction).toBe(0.3);

    await write(rows);
    const all = await readExamples([file], base, { ...terms, maximumLength: 128 });
    const heldOut = all.filter((example) => example.isHeldOut).map(({ ids }) => ids.join());
    expect(heldOut.length).toBeGreaterThan(6);
    expect(heldOut.length).toBeLessThan(36);

    // A row that cannot be read in front of the others moves their numbers, and no side.
    await write([{ instruction: 7 }, ...rows]);
    const shifted = await readExamples([file], base, { ...terms, maximumLength: 128 });
    expect(shifted.filter((example) => example.isHeldOut).map(({ ids }) => ids.join())).toEqual(heldOut);

    const none = await readExamples([file], base, { ...exampleTerms(aManifest()), maximumLength: 128 });
    expect(none.some((example) => example.isHeldOut)).toBe(false);
  });
});
