import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Readiness } from './readiness.js';

const serving = (): void => undefined;
const answers = (): Promise<void> => Promise.resolve();

describe('a coordinator', () => {
  it('is ready while its database answers and its data folder can be written to, and leaves nothing there', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fedlora-ready-'));
    const readiness = new Readiness(folder, answers, serving);
    await Promise.all([readiness.expectReady(), readiness.expectReady()]);
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
    await expect(readiness.expectReady()).rejects.toMatchObject({
      code: 'coordinator/not-ready',
      summary: 'The data folder cannot be written to (ENOENT).',
    });
  });

  it('is not ready when its database or its bucket does not answer, nor when it is shutting down', async () => {
    const failing = new Readiness(tmpdir(), () => Promise.reject(new Error('locked')), serving);
    await expect(failing.expectReady()).rejects.toThrow('The database does not answer.');
    const cutOff = new Readiness(tmpdir(), answers, serving, () => Promise.reject(new Error('refused')));
    await expect(cutOff.expectReady()).rejects.toThrow('The S3 bucket of the blobs does not answer.');
    const stopping = new Readiness(tmpdir(), answers, serving);
    stopping.stop();
    await expect(stopping.expectReady()).rejects.toThrow('shutting down');
  });
});
