import { appendFile, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Decisions } from './decisions.js';

const SID = 'ab'.repeat(32);

describe('Decisions', () => {
  let path: string;
  beforeEach(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'fedlora-decisions-')), 'decisions.jsonl');
  });

  it('lets a session be joined once, also after a restart', async () => {
    const first = await Decisions.open(path);
    await first.join(SID, 'round-1', 1);
    await expect(first.join(SID, 'round-1', 2)).rejects.toMatchObject({ code: 'offer/session-reused' });
    await first.close();
    const second = await Decisions.open(path);
    expect(second.hasJoined(SID)).toBe(true);
    await expect(second.join(SID, 'round-1', 3)).rejects.toMatchObject({ code: 'offer/session-reused' });
    await second.close();
  });

  it('answers unmasking of a session for one request only, also after a restart', async () => {
    const first = await Decisions.open(path);
    await first.unmask(SID, 'round-1', 'request-a', 1);
    expect(await readFile(path, 'utf8')).toContain('request-a');
    await first.unmask(SID, 'round-1', 'request-a', 2); // The same again is the same answer.
    await expect(first.unmask(SID, 'round-1', 'request-b', 3)).rejects.toMatchObject({ code: 'secagg/wrong-phase' });
    await first.close();
    const second = await Decisions.open(path);
    await expect(second.unmask(SID, 'round-1', 'request-b', 4)).rejects.toMatchObject({ code: 'secagg/wrong-phase' });
    await second.close();
  });

  it('forgets a torn last line and keeps the others', async () => {
    const first = await Decisions.open(path);
    await first.join(SID, 'round-1', 1);
    await first.close();
    await appendFile(path, '{"kind":"unmas');
    const second = await Decisions.open(path);
    expect(second.hasJoined(SID)).toBe(true);
    await second.unmask(SID, 'round-1', 'request-a', 1);
    await second.close();
    expect((await readFile(path, 'utf8')).trim().split('\n')).toHaveLength(2);
  });

  it('refuses a file with a foreign line', async () => {
    await writeFile(path, 'hello\n');
    await expect(Decisions.open(path)).rejects.toMatchObject({ code: 'decisions/tampered' });
  });
});
