import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { root } from './small-network.js';

const dist = join(root, 'coordinator', 'dashboard', 'dist');

/** What `vite build` writes of each file: what it needs, and what it only loads when asked to. */
interface Chunk {
  readonly file: string;
  readonly src?: string;
  readonly isEntry?: boolean;
  readonly imports?: readonly string[];
  readonly css?: readonly string[];
}

type Chunks = Readonly<Record<string, Chunk>>;

/** The files that the browser fetches for these sources. */
function filesOf(chunks: Chunks, sources: readonly string[], found = new Set<string>()): Set<string> {
  for (const source of sources) {
    const { file, imports = [], css = [] } = chunks[source];
    if (found.has(file)) continue;
    for (const one of [file, ...css]) found.add(one);
    filesOf(chunks, imports, found);
  }
  return found;
}

describe('the built dashboard', () => {
  it('needs less than 400 kB compressed for its first page, charts included', async () => {
    const chunks = JSON.parse(await readFile(join(dist, 'manifest.json'), 'utf8')) as Chunks;
    const firstLoad = filesOf(chunks, [
      'index.html',
      'src/pages/overview/overview-page.tsx',
      'src/run/training-charts.tsx',
    ]);
    const sizes = await Promise.all(
      [...firstLoad].map(async (file) => gzipSync(await readFile(join(dist, file))).length),
    );
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(400_000);
  });

  it('loads every other page only when it is opened', async () => {
    const chunks = JSON.parse(await readFile(join(dist, 'manifest.json'), 'utf8')) as Chunks;
    const pages = Object.keys(chunks).filter((source) => source.startsWith('src/pages/'));
    const atStart = filesOf(chunks, ['index.html']);
    expect(pages).not.toEqual([]);
    expect(pages.filter((source) => atStart.has(chunks[source].file))).toEqual([]);
  });
});
