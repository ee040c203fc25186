/** The references in the documentation are what the code says: after a change of settings or commands, `npm run references`. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { describe, expect, it } from 'vitest';
import { commandsReference } from './commands-page.js';
import { configurationReference } from './configuration-page.js';
import { root, sources } from './sources.js';

const MARK = '<!-- What follows is written by `npm run references`. -->';

const references: readonly [page: string, reference: () => string][] = [
  ['configuration', configurationReference],
  ['commands', commandsReference],
];

describe('the references', () => {
  it.each(references)(
    'deploy/docs/%s.md says what the code says (else: npm run references)',
    async (page, reference) => {
      const file = join(root, 'deploy', 'docs', `${page}.md`);
      const [head] = readFileSync(file, 'utf8').split(MARK);
      const text = `${head.trim()}\n\n${MARK}\n\n${reference()}\n`;
      await expect(await format(text, { ...(await resolveConfig(file)), filepath: file })).toMatchFileSnapshot(file);
    },
  );

  it('name every variable of the environment that a program reads', () => {
    const text = readFileSync(join(root, 'deploy', 'docs', 'configuration.md'), 'utf8');
    const read = ['client/src', 'coordinator/src']
      .flatMap((folder) => sources(folder))
      .filter(({ path }) => !path.startsWith('coordinator/dashboard'))
      .flatMap(({ text: code }) => code.match(/\bFEDLORA_[A-Z0-9_]*[A-Z]\b/g) ?? []);
    expect([...new Set(read)].filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it('leave no setting without its meaning', () => {
    const rows = configurationReference()
      .split('\n')
      .filter((line) => line.startsWith('| `'));
    expect(rows.length).toBeGreaterThan(40);
    expect(rows.filter((row) => row.endsWith('|  |'))).toEqual([]);
  });
});
