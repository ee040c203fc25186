/** One client for each home folder, by real processes that are killed. */

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockHolder, takeLock } from '../../client/src/storage/lock.js';

const lockModule = pathToFileURL(resolve(import.meta.dirname, '../../client/dist/storage/lock.js')).href;

/** Takes the lock and holds it; says what came of it. */
const PROGRAM = `
const { takeLock } = await import('${lockModule}');
try {
  await takeLock(process.argv[1]);
  process.stdout.write('taken\\n');
  setInterval(() => undefined, 1000);
} catch (error) {
  process.stdout.write(error.code + '\\n');
}`;

let folder: string;
let path: string;
let children: ChildProcess[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fedlora-lock-'));
  path = join(folder, 'lock');
  children = [];
});
afterEach(async () => {
  await Promise.all(children.map(kill));
  await rm(folder, { recursive: true });
});

/** Another process that takes the lock, when it has said what came of it. */
async function another(): Promise<{ child: ChildProcess; said: string }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, said: said.toString().trim() };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe('the lock of a home folder', () => {
  it('is refused while a client runs, and taken over after it was killed', async () => {
    const { child, said } = await another();
    expect(said).toBe('taken');
    expect(await lockHolder(path)).toBe(child.pid);
    await expect(takeLock(path)).rejects.toMatchObject({ code: 'home/locked', details: { holder: child.pid } });
    await kill(child);
    expect(await lockHolder(path)).toBeUndefined();
    const lock = await takeLock(path);
    expect((await another()).said).toBe('home/locked');
    await lock.release();
    expect(await readdir(folder)).toEqual([]);
  });

  it('that a killed client left, or that a power cut emptied, is taken over by one of many that come at once', async () => {
    for (const left of ['999999999\n', '']) {
      await writeFile(path, left);
      const all = await Promise.all(Array.from({ length: 5 }, another));
      expect(all.filter(({ said }) => said === 'taken')).toHaveLength(1);
      expect(all.filter(({ said }) => said === 'home/locked')).toHaveLength(4);
      await Promise.all(all.map(({ child }) => kill(child)));
    }
  });
});
