import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runbookLink, runbookPages, type ErrorCode } from '@fedlora/shared';
import { format, resolveConfig } from 'prettier';
import { describe, expect, it } from 'vitest';
import { everyCode, indexOf, introductionOf, pageOf } from './runbook-page.js';
import { root } from './sources.js';

const folder = join(root, 'deploy', 'runbook');
const fileOf = (page: string): string => join(folder, `${page}.md`);
const textOf = (page: string): string => (existsSync(fileOf(page)) ? readFileSync(fileOf(page), 'utf8') : '');
const pages = new Map<string, readonly ErrorCode[]>(
  [...new Set(Object.values(runbookPages))].map((page) => [
    page,
    everyCode.filter((code) => runbookLink(code).startsWith(`deploy/runbook/${page}.md#`)),
  ]),
);

const INDEX = '<!-- What follows is written by `npm run runbook`. -->';
const pretty = async (page: string, text: string): Promise<string> =>
  format(text, { ...(await resolveConfig(fileOf(page))), filepath: fileOf(page) });

/** The anchors that Markdown makes of a page's headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('the runbook', () => {
  it.each([...pages.keys()])(
    'says of the codes of %s what the catalogue says (else: npm run runbook)',
    async (page) => {
      const text = await pretty(page, pageOf(pages.get(page) ?? [], textOf(page)));
      await expect(text).toMatchFileSnapshot(fileOf(page));
    },
  );

  it('lists every code (else: npm run runbook)', async () => {
    const [head] = textOf('README').split(INDEX);
    const text = await pretty('README', `${head.trim()}\n\n${INDEX}\n\n${indexOf(pages)}\n`);
    await expect(text).toMatchFileSnapshot(fileOf('README'));
  });

  it('has an anchor for the link of every code', () => {
    for (const code of everyCode) {
      const [, page, anchor] = /^deploy\/runbook\/(.+)\.md#(.+)$/.exec(runbookLink(code)) ?? [];
      expect(anchorsOf(pageOf(pages.get(page) ?? [], textOf(page))), code).toContain(anchor);
    }
  });

  it.each([...pages.keys()])('begins %s with what no catalogue knows: how it shows, and where to look', (page) => {
    const introduction = introductionOf(textOf(page));
    expect(introduction).toMatch(/^# [A-Z]/);
    expect(introduction.length).toBeGreaterThan(500);
  });

  it('has no page to which nothing leads, and no link that leads nowhere', () => {
    const files = readdirSync(folder);
    const links = files.flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/\]\(([^)#\s]*)(?:#([^)]*))?\)/g)].map(
        ([, to, anchor]) => ({
          file,
          to: to === '' ? file : to,
          anchor,
        }),
      ),
    );
    const reached = new Set(links.filter(({ file }) => file === 'README.md').map(({ to }) => to));
    expect(files.filter((file) => file !== 'README.md' && !reached.has(file))).toEqual([]);
    for (const { file, to, anchor } of links.filter(({ to: target }) => !/^[a-z]+:/.test(target))) {
      expect(existsSync(join(folder, to)), `${file}: ${to}`).toBe(true);
      if (anchor !== undefined && to.endsWith('.md'))
        expect(anchorsOf(readFileSync(join(folder, to), 'utf8')), `${file}: ${to}`).toContain(anchor);
    }
  });
});
