import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NamelessFile } from './nameless-file.js';

describe('a file without a name', () => {
  let folder: string;
  let file: NamelessFile;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-nameless-'));
    file = new NamelessFile(join(folder, 'not there yet'));
  });
  afterEach(async () => {
    file.close();
    await rm(folder, { recursive: true });
  });

  const bytes = (length: number, first: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (first + i) % 256);

  it('gives back all of what it keeps, and parts, whatever was kept before and after', () => {
    const kept = [file.keep(bytes(1000, 1)), file.keep(bytes(0, 0)), file.keep(bytes(300, 7))];
    expect(kept.map(({ length }) => length)).toEqual([1000, 0, 300]);
    expect(kept[0].subarray(0, 1000)).toEqual(bytes(1000, 1));
    expect(kept[1].subarray(0, 0)).toEqual(bytes(0, 0));
    expect(kept[2].subarray(0, 300)).toEqual(bytes(300, 7));
    expect(kept[0].subarray(990, 1000)).toEqual(bytes(10, 991));
  });

  it('never reads beyond the end of what was asked for, as a Uint8Array does not', () => {
    const first = file.keep(bytes(10, 0));
    file.keep(bytes(10, 100));
    for (const [begin, end] of [
      [8, 12],
      [10, 20],
      [15, 30],
    ]) {
      expect(first.subarray(begin, end)).toEqual(bytes(10, 0).subarray(begin, end));
    }
  });

  it('keeps what it was given, even if that is changed afterwards', () => {
    const given = bytes(16, 3);
    const kept = file.keep(given);
    given.fill(0);
    kept.subarray(0, 16).fill(0);
    expect(kept.subarray(0, 16)).toEqual(bytes(16, 3));
  });

  it('cannot be found in its folder, while it is used or after', async () => {
    file.keep(bytes(10, 0));
    expect(await readdir(join(folder, 'not there yet'))).toEqual([]);
    file.close();
    expect(await readdir(join(folder, 'not there yet'))).toEqual([]);
  });

  it('makes nothing before something is kept', async () => {
    file.close();
    expect(await readdir(folder)).toEqual([]);
  });

  it('reads nothing once it is closed, least of all from a file that was opened since', () => {
    const kept = file.keep(bytes(10, 0));
    file.close();
    const other = new NamelessFile(folder);
    other.keep(bytes(10, 50));
    expect(() => kept.subarray(0, 10)).toThrow('closed');
    other.close();
  });
});
