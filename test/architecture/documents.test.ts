/** What documents promise by a link or a name is there. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileOf, readLibrary, splitTarget } from '../../coordinator/src/documentation/library.js';
import { renderMarkdown } from '../../coordinator/src/documentation/markdown.js';
import { routeTable } from '../../coordinator/src/api/routes.js';
import { consoleBlocks, wordsOf } from '../support/console-blocks.js';
import { parseCommand, unknownCommands } from './named-commands.js';
import { root } from './sources.js';

const NOT_OURS = /(^|\/)(node_modules|dist|artifacts|fixtures|\.[^/]+)(\/|$)/;

/** Every Markdown file of the repository, with what is in it. */
const documents = new Map(
  readdirSync(root, { withFileTypes: true, recursive: false })
    .flatMap((entry) =>
      entry.isDirectory() && !NOT_OURS.test(entry.name)
        ? readdirSync(join(root, entry.name), { recursive: true, encoding: 'utf8' }).map((path) =>
            join(entry.name, path),
          )
        : [entry.name],
    )
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => path.endsWith('.md') && !NOT_OURS.test(path))
    .map((path) => [path, renderMarkdown(readFileSync(join(root, path), 'utf8'), (target) => target)] as const),
);

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');
/** Those of the documentation itself. */
const pages = [...documents.keys()].filter((file) => file.startsWith('deploy/docs/'));
const links = [...documents].flatMap(([file, { targets }]) => targets.map((target) => ({ file, target })));

describe('links between documents', () => {
  it('lead to files that are there, and to headings that they have', () => {
    const within = links.filter(({ target }) => !/^([a-z]+:|\/)/.test(target));
    expect(within.length).toBeGreaterThan(300);
    const broken = within.filter(({ file, target }) => {
      const [path, fragment] = splitTarget(target);
      const to = path === '' ? file : fileOf(file, path);
      if (!existsSync(join(root, to))) return true;
      const anchors = documents.get(to)?.sections.map(({ heading }) => heading.anchor);
      return fragment !== '' && anchors?.includes(decodeURIComponent(fragment.slice(1))) !== true;
    });
    expect(broken).toEqual([]);
  });

  it('lead to addresses that the coordinator has', () => {
    const addresses = links.filter(({ target }) => target.startsWith('/'));
    expect(addresses.filter(({ target }) => !(`GET ${target}` in routeTable))).toEqual([]);
  });

  it('are well-formed where they lead elsewhere, and never to another scheme than https', () => {
    const outside = links.filter(({ target }) => /^[a-z]+:/.test(target));
    expect(outside.filter(({ target }) => !(URL.canParse(target) && target.startsWith('https://')))).toEqual([]);
  });
});

describe('commands in documents', () => {
  it('are commands and options that `fedlora` has', () => {
    const wrong = [...documents.keys()].flatMap((file) =>
      unknownCommands(textOf(file)).map((one) => `${file}: ${one}`),
    );
    expect(wrong).toEqual([]);
  });

  it('are in blocks that a test runs, or that say why none does', () => {
    const elsewhere = pages.filter((page) => /^```(sh|bash|shell)$/m.test(textOf(page)));
    // Its blocks are one script: `test/e2e/quick-start.e2e.test.ts`.
    expect(elsewhere).toEqual(['deploy/docs/quick-start.md']);
    for (const page of pages) {
      for (const { notRunBecause, commands } of consoleBlocks(textOf(page))) {
        expect(commands.length, page).toBeGreaterThan(0);
        if (notRunBecause !== undefined) expect(notRunBecause, page).toMatch(/^(needs|this|these) .{10,}/);
      }
    }
  });

  it('are read as far as that goes where no test runs them', async () => {
    const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> };
    const notRun = pages.flatMap((page) =>
      consoleBlocks(textOf(page)).filter((block) => block.notRunBecause !== undefined),
    );
    const kinds = new Set<string>();
    for (const { commands, notRunBecause } of notRun) {
      for (const [file] of notRunBecause?.matchAll(/\btest\/\S+\.ts/g) ?? [])
        expect(existsSync(join(root, file)), file).toBe(true);
      for (const command of commands) {
        const [program, ...words] = wordsOf(command.replaceAll('\n', ' '));
        kinds.add(program);
        if (program === 'fedlora') await parseCommand(words.map((word) => (word === '$KEY' ? 'a'.repeat(64) : word)));
        if (program === 'npm')
          expect(Object.keys(scripts), command).toContain(words[0] === 'run' ? words[1] : words[0]);
        for (const file of words.filter((word) => /^(deploy|test)\/.*\.\w+$/.test(word)))
          expect(existsSync(join(root, file)), command).toBe(true);
      }
    }
    expect([...kinds]).toEqual(expect.arrayContaining(['fedlora', 'npm', 'python']));
  });
});

describe('the threat model of SECURITY.md', () => {
  it('shows each defence by a test that exists', () => {
    const [, table] = textOf('SECURITY.md').split('| shown by');
    const rows = table.split('\n\n')[0].split('\n').slice(2);
    expect(rows.length).toBeGreaterThan(25);
    for (const row of rows) {
      const [, file, title] = /`([\w./-]+\.test\.ts)` "(.+)" *\|$/.exec(row) ?? [];
      const code = textOf(file ?? `no test: ${row}`);
      expect(
        [`'${title}'`, `\`${title}\``].some((quoted) => code.includes(quoted)),
        row,
      ).toBe(true);
    }
  });
});

describe('the documentation', () => {
  it('has no page and no picture to which nothing leads', () => {
    const { pages, pictures } = readLibrary(root);
    const served = new Set([...pages.map(({ file }) => file), ...pictures.values()]);
    const files = readdirSync(join(root, 'deploy/docs'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.endsWith('.css'))
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'));
    expect(files.filter((file) => !served.has(file))).toEqual([]);
  });
});
