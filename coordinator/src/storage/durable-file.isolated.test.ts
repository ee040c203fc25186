import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { sql } from 'kysely';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { openDatabase } from './database.js';
import { writeAtomically } from './durable-file.js';

/** What was asked of the disk, in order. */
const asked = vi.hoisted(() => [] as string[]);

vi.mock('node:fs/promises', async (load) => {
  const real = await load<typeof import('node:fs/promises')>();
  return {
    ...real,
    open: async (path: string, ...rest: [string?, number?]) => {
      const file = await real.open(path, ...rest);
      const { sync, writeFile } = file;
      file.writeFile = async (...content: Parameters<typeof writeFile>) => {
        asked.push(`write ${path}`);
        await writeFile.apply(file, content);
      };
      file.sync = async () => {
        asked.push(`sync ${path}`);
        await sync.call(file);
      };
      return file;
    },
    rename: async (from: string, to: string) => {
      asked.push(`rename ${from} ${to}`);
      await real.rename(from, to);
    },
  };
});

beforeEach(() => void asked.splice(0));

describe('what survives a power cut', () => {
  it.skipIf(process.platform === 'win32')(
    'is a file whose content was flushed before it got its name, and whose name was flushed too',
    async () => {
      const path = join(await mkdtemp(join(tmpdir(), 'fedlora-durable-')), 'file');
      await writeAtomically(path, 'content');
      expect(await readFile(path, 'utf8')).toBe('content');
      const temporary = asked[0].slice('write '.length);
      expect(dirname(temporary)).toBe(dirname(path));
      expect(basename(temporary)).not.toBe('file');
      expect(asked).toEqual([
        `write ${temporary}`,
        `sync ${temporary}`,
        `rename ${temporary} ${path}`,
        `sync ${dirname(path)}`,
      ]);
    },
  );

  it('is every commit of the embedded database: its log is flushed before a commit returns', async () => {
    const db = await openDatabase({ path: join(await mkdtemp(join(tmpdir(), 'fedlora-durable-')), 'db.sqlite') });
    const { rows: level } = await sql<{ synchronous: number }>`PRAGMA synchronous`.execute(db);
    const { rows: mode } = await sql<{ journal_mode: string }>`PRAGMA journal_mode`.execute(db);
    expect([level[0].synchronous, mode[0].journal_mode]).toEqual([2, 'wal']); // 2: FULL
    await db.destroy();
  });
});
