import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf } from '@fedlora/protocol';
import { requestPhases } from '@fedlora/shared';
import { NamelessFile } from '../storage/nameless-file.js';
import { RoundMessages } from './round-messages.js';

describe('the messages of a round', () => {
  let folder: string;
  let messages: RoundMessages;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fedlora-messages-'));
    messages = new RoundMessages(new NamelessFile(folder));
  });
  afterEach(async () => {
    messages.close();
    await rm(folder, { recursive: true });
  });

  it('are there once they are stored, of each phase as they came, and not before', () => {
    for (const phase of requestPhases) {
      const stored = messages.keep(
        [2, 0, 1].map((participant) => ({ participant, phase, message: Uint8Array.of(participant, 9) })),
      );
      expect(messages.has(phase, 0)).toBe(false);
      expect(messages.get(phase, 0)).toBeUndefined();
      stored();
      expect([...messages.all(phase)].map(([participant, message]) => [participant, ...bytesOf(message)])).toEqual([
        [2, 2, 9],
        [0, 0, 9],
        [1, 1, 9],
      ]);
      expect(messages.has(phase, 1)).toBe(true);
      expect(messages.get(phase, 1)).toEqual(Uint8Array.of(1, 9));
    }
  });

  it('do not hold dealt shares in memory, which are most of them', () => {
    messages.keep([{ participant: 0, phase: 'sharing', message: new Uint8Array(10) }])();
    expect(messages.all('sharing').get(0)).not.toBeInstanceOf(Uint8Array);
  });

  it('say so when there is no room for shares, and have none of them', () => {
    const full = new RoundMessages(new NamelessFile('/dev/null/nowhere'));
    expect(() => full.keep([{ participant: 0, phase: 'sharing', message: new Uint8Array(10) }])).toThrow('ENOTDIR');
    expect(full.has('sharing', 0)).toBe(false);
  });
});
