import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { domains } from '../../protocol/src/primitives/domains.js';
import { describe, expect, it } from 'vitest';
import { root, sources } from './sources.js';

const text = readFileSync(join(root, 'protocol/SPEC.md'), 'utf8');

/** Headings `## 4. `, paragraphs `4.1 ` and rows `| 4.1 ` of the specification. */
const sections = new Set(
  [...text.matchAll(/^(?:## (\d+)\. |(\d+(?:\.\d+)+) |\| (\d+(?:\.\d+)+) )/gm)].map(
    (match) => match[1] ?? match[2] ?? match[3],
  ),
);

const folders = ['protocol/src', 'shared/src', 'client/src', 'coordinator/src', 'test'];
/** Code with its comments; a citation may be broken between two lines of one. */
const cited = folders
  .flatMap((folder) => sources(folder, { tests: true }))
  .filter(({ path }) => path !== 'test/architecture/specification.test.ts')
  .map(({ path, text: code }) => ({ path, text: code.replace(/\n\s*(\*|\/\/) */g, ' ') }));

const vectors = readdirSync(join(root, 'protocol/vectors')).map((name) => ({
  name,
  spec: (JSON.parse(readFileSync(join(root, 'protocol/vectors', name), 'utf8')) as { spec?: string }).spec ?? '',
}));

/** Rows of tables in PITFALLS.md, by their cells. */
const pitfalls = readFileSync(join(root, 'protocol/PITFALLS.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| pitfall') && !line.startsWith('| ---'))
  .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | *\|?$/g, '')));

describe('the pitfalls page', () => {
  it('names for each pitfall code that exists, and a test that exists', () => {
    expect(pitfalls.length).toBeGreaterThan(25);
    for (const [pitfall, , prevented, held] of pitfalls) {
      const [, file, title] = /^`([^`]+)` "(.+)"$/.exec(held.trim()) ?? [];
      expect(readFileSync(join(root, file), 'utf8'), pitfall).toContain(title);
      for (const [, path] of prevented.matchAll(/`([a-z-]+\/[^`]+\.ts)`/g)) {
        expect(existsSync(join(root, path)), path).toBe(true);
      }
    }
  });
});

describe('the README of the protocol', () => {
  it('names every file of vectors, and none that is not there', () => {
    const readme = readFileSync(join(root, 'protocol/README.md'), 'utf8');
    const named = [...readme.matchAll(/`vectors\/([a-z-]+\.json)`/g)].map(([, name]) => name);
    expect([...new Set(named)].sort()).toEqual(vectors.map(({ name }) => name).sort());
  });
});

describe('the specification', () => {
  it('has every section that code cites', () => {
    const citations = cited.flatMap(({ path, text: code }) =>
      [...code.matchAll(/\bSPEC (§\d+(?:\.\d+)*(?:(?:,| and| to) §\d+(?:\.\d+)*)*)/g)].flatMap(([, list]) =>
        [...list.matchAll(/§(\d+(?:\.\d+)*)/g)].map(([, section]) => ({ path, section })),
      ),
    );
    expect(citations.length).toBeGreaterThan(80);
    expect(citations.filter(({ section }) => !sections.has(section))).toEqual([]);
  });

  it('is cited by section, never as a whole or by name', () => {
    const vague = cited.flatMap(({ path, text: code }) =>
      [...code.matchAll(/\bSPEC\b(?! §\d|\.md|-)[^\n]{0,30}/g)].map(([found]) => `${path}: ${found}`),
    );
    expect(vague).toEqual([]);
  });

  it('has every section that it refers to itself, and that vectors name', () => {
    const own = [...text.matchAll(/\((\d+\.\d+(?:, \d+\.\d+)*)\)/g)].flatMap(([, list]) => list.split(', '));
    expect(own.length).toBeGreaterThan(10);
    expect(own.filter((section) => !sections.has(section))).toEqual([]);
    const named = vectors.flatMap(({ name, spec }) => spec.split(', ').map((section) => ({ name, section })));
    expect(named.filter(({ section }) => !sections.has(section))).toEqual([]);
  });

  it('has every domain tag, and no tag of secure aggregation that code does not know', () => {
    const tags: readonly string[] = Object.values(domains);
    expect(tags.filter((tag) => !text.includes(tag))).toEqual([]);
    const written = [...text.matchAll(/fedlora\/v1\/[a-z/-]*[a-z]/g)].map(([tag]) => tag);
    expect(written.filter((tag) => !tags.includes(tag))).toEqual([]);
  });
});
