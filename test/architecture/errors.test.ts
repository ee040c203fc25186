import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorCatalogue } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';
import { root, sources, withoutComments } from './sources.js';

const CATALOGUES = ['protocol/src/errors.ts', 'shared/src/errors/catalogue.ts'];

describe('the error catalogue', () => {
  const used = new Set<string>();
  for (const source of ['protocol/src', 'shared/src', 'client/src', 'coordinator/src'].flatMap((folder) =>
    sources(folder),
  )) {
    if (CATALOGUES.includes(source.path)) continue;
    for (const match of withoutComments(source.text).matchAll(/['"`]([a-z][a-z-]*\/[a-z][a-z0-9-]*)['"`]/g))
      used.add(match[1]);
  }

  // The starters are plain JavaScript, so that they can say that nothing is built yet.
  for (const starter of ['client/bin/fedlora.mjs', 'coordinator/bin/fedlora-coordinator.mjs']) {
    for (const match of readFileSync(join(root, starter), 'utf8').matchAll(/\[([a-z][a-z-]*\/[a-z][a-z0-9-]*)\]/g))
      used.add(match[1]);
  }

  it('has no code that is never raised', () => {
    expect(Object.keys(errorCatalogue).filter((code) => !used.has(code))).toEqual([]);
  });

  it('says what happened and what to do for every code', () => {
    for (const [code, entry] of Object.entries(errorCatalogue)) {
      expect(entry.meaning, code).toMatch(/^[A-Z].*\.$/s);
      expect(entry.remedy, code).toMatch(/^[A-Z`].*\.$/s);
      expect(entry.remedy.length, code).toBeGreaterThan(15);
    }
  });
});
