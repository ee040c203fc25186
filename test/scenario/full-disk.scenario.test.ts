/** A home folder on a disk that is really full: a small file system of its own, where this machine lets us mount one. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createIdentity, readLedger } from '@fedlora/client';
import { afterAll, describe, expect, it } from 'vitest';
import { Account } from '../../client/src/storage/account.js';
import { writeAtomically } from '../../client/src/storage/atomic-file.js';
import { Decisions } from '../../client/src/storage/decisions.js';

const folder = mkdtempSync(join(tmpdir(), 'fedlora-full-'));
const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder]).status === 0;

afterAll(() => {
  if (isMounted) spawnSync('umount', [folder]);
  rmSync(folder, { recursive: true });
});

const filler = join(folder, 'filler');

/** Until not one byte more fits. */
async function fillDisk(): Promise<void> {
  for (let bytes = 4096; bytes >= 1;) {
    try {
      await appendFile(filler, Buffer.alloc(bytes));
    } catch {
      bytes = Math.floor(bytes / 2);
    }
  }
}

const charge = (roundId: string) =>
  ({
    runId: 'run',
    roundId,
    manifestHash: 'a'.repeat(64),
    unit: 'record',
    noiseMultiplier: 0.8,
    samplingRate: 0.02,
    steps: 1,
    delta: 1e-5,
  }) as const;

describe('a home folder on a full disk', () => {
  if (!isMounted)
    it('is not met here: this process may not mount a file system', () => {
      expect(isMounted).toBe(false);
    });
  else
    it('declines what it cannot write down, keeps every charge, and goes on when there is room', async () => {
      const identity = await createIdentity(join(folder, 'identity.key'));
      const paths = {
        ledgers: folder,
        ledger: (dataset: string) => join(folder, `${dataset}.jsonl`),
        records: (dataset: string) => join(folder, `${dataset}.records`),
      };
      const account = await Account.open({
        paths,
        dataset: 'clinic',
        identity,
        federationKey: undefined,
        recordKey: new Uint8Array(32),
        unrelated: [],
      });
      const decisions = await Decisions.open(join(folder, 'decisions.jsonl'));
      const rows = (count: number) => Array.from({ length: count }, (_, i) => ({ fingerprint: BigInt(i + 1) }));
      await account.recognise(rows(10), 1);
      await account.record(charge('r1'), 1);
      await writeAtomically(join(folder, 'pins.json'), 'old');

      await fillDisk();
      const full = { code: 'home/disk-full' };
      // The last page of a file may have room for a line or two.
      for (let i = 0; i < 20; i++) await account.record(charge('last'), 2).catch(() => undefined);
      const kept = account.entries.length;
      await expect(account.record(charge('r2'), 2)).rejects.toMatchObject(full);
      await expect(account.recognise(rows(5000), 2)).rejects.toMatchObject(full);
      for (let i = 0; i < 40; i++) await decisions.join(`s${i}`, 'r', 2).catch(() => undefined);
      await expect(decisions.join('last', 'r2', 2)).rejects.toMatchObject(full);
      await expect(writeAtomically(join(folder, 'pins.json'), 'n'.repeat(8192))).rejects.toMatchObject(full);
      expect(await readFile(join(folder, 'pins.json'), 'utf8')).toBe('old');
      expect(readLedger(await readFile(paths.ledger('clinic'), 'utf8'), identity).charges).toHaveLength(kept);

      await rm(filler);
      await writeFile(join(folder, 'room'), '');
      expect(await account.recognise(rows(20), 3)).toBe(false);
      await account.record(charge('r3'), 3);
      await decisions.join('next', 'r3', 3);
      await account.close();
      await decisions.close();
      const { charges } = readLedger(await readFile(paths.ledger('clinic'), 'utf8'), identity);
      expect(charges.at(0)?.roundId).toBe('r1');
      expect(charges.at(-1)?.roundId).toBe('r3');
      expect(charges).toHaveLength(kept + 1);
      const again = await Decisions.open(join(folder, 'decisions.jsonl'));
      expect(again.hasJoined('next')).toBe(true);
      await again.close();
    });
});
