import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addressOf, readLibrary } from './library.js';
import { search } from './search.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fedlora-library-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [file, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), text);
  }
}

describe('readLibrary', () => {
  it('has what the first page leads to, over other pages as well, and nothing else', async () => {
    await write({
      'deploy/docs/README.md': '# First\n\n[guide](guide.md#part) ![picture](pictures/a.svg)',
      'deploy/docs/guide.md': '# Guide\n\n## Part\n\n[spec](../../protocol/SPEC.md) [code](../../protocol/code.ts)',
      'deploy/docs/orphan.md': '# Orphan',
      'deploy/docs/pictures/a.svg': '<svg/>',
      'deploy/docs/pictures/b.svg': '<svg/>',
      'protocol/SPEC.md': '# Spec\n\n[first](../deploy/docs/README.md) [out](../../secret.md) [gone](gone.md)',
      'protocol/code.ts': '',
    });
    const { pages, pictures } = readLibrary(root);
    expect(pages.map(({ address, title }) => [address, title])).toEqual([
      ['/docs', 'First'],
      ['/docs/guide', 'Guide'],
      ['/docs/protocol/spec', 'Spec'],
    ]);
    expect([...pictures]).toEqual([['/docs/pictures/a.svg', 'deploy/docs/pictures/a.svg']]);
    expect(pages[0].html).toContain('href="/docs/guide#part"');
    expect(pages[1].html).toContain('<a href="/docs/protocol/spec">spec</a> code</p>');
    expect(pages[2].html).toContain('<a href="/docs">first</a> out gone');
  });

  it('is empty where the program was copied without its documentation', () => {
    expect(readLibrary(root)).toEqual({ pages: [], pictures: new Map() });
  });

  it.each([
    ['deploy/docs/README.md', '/docs'],
    ['deploy/docs/quick-start.md', '/docs/quick-start'],
    ['deploy/runbook/README.md', '/docs/runbook'],
    ['deploy/runbook/keys.md', '/docs/runbook/keys'],
    ['SECURITY.md', '/docs/security'],
    ['client/src/data/README.md', '/docs/client/src/data'],
  ])('serves %s at %s', (file, address) => {
    expect(addressOf(file)).toBe(address);
  });
});

describe('search', () => {
  it('finds sections that have every word, those first that are about it, with an excerpt', async () => {
    await write({
      'deploy/docs/README.md': `# First\n\n[g](g.md)\n\n## Other\n\n${'word '.repeat(80)} the Privacy ledger ${'word '.repeat(80)}`,
      'deploy/docs/g.md': '# Guide\n\n## Privacy ledger\n\nWhat was spent.\n\n## Ledger\n\nNothing.',
    });
    const hits = search(readLibrary(root), 'PRIVACY  ledger');
    expect(hits.map(({ section }) => section.heading.text)).toEqual(['Privacy ledger', 'Other']);
    expect(hits[1].excerpt).toMatch(/^….*Privacy ledger.*…$/);
    expect(hits[1].excerpt.length).toBeLessThan(200);
  });

  it.each(['', '   ', 'nowhere'])('finds nothing for "%s"', async (question) => {
    await write({ 'deploy/docs/README.md': '# First' });
    expect(search(readLibrary(root), question)).toEqual([]);
  });
});
