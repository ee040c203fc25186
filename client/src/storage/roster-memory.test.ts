import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { nextRevocations, signRevocations, toHex, type Roster } from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import { RosterMemory } from './roster-memory.js';

const seed = seededRandom('federation')(32);
const federationKey = toHex(nodeProvider.ed25519.publicKey(seed));
const roster = (...members: [name: string, key: string][]): Roster => ({
  version: 1,
  members: members.map(([name, key]) => ({ name, identity: key.repeat(64), certificate: '' })),
});
const none = { revocations: undefined, revocationsText: undefined };
const list = nextRevocations(undefined, ['c'.repeat(64)]);
const listed = { revocations: list, revocationsText: signRevocations(nodeProvider, seed, list) };

describe('the memory of members', () => {
  let path: string;
  beforeEach(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'fedlora-roster-')), 'roster.json');
  });
  const open = () => RosterMemory.open(path, federationKey);

  it('names who came, who left and whose key is new, also after a restart', async () => {
    const first = await open();
    expect(await first.remember({ roster: roster(['bank', 'a'], ['clinic', 'b']), ...none })).toBeUndefined();
    expect(await first.remember({ roster: roster(['bank', 'a'], ['clinic', 'b']), ...none })).toEqual({
      added: [],
      removed: [],
      replaced: [],
    });
    const again = await open();
    expect(await again.remember({ roster: roster(['clinic', 'd'], ['council', 'e']), ...none })).toEqual({
      added: ['council'],
      removed: ['bank'],
      replaced: ['clinic'],
    });
  });

  it('has the revocation list on disk when it returns', async () => {
    const memory = await open();
    expect(memory.revocations).toBeUndefined();
    await memory.remember({ roster: roster(['bank', 'a']), ...listed });
    expect(memory.revocations).toEqual(list);
    expect((await open()).revocations).toEqual(list);
  });

  it('refuses a file that was changed, and names it', async () => {
    await (await open()).remember({ roster: roster(['bank', 'a']), ...listed });
    const text = await readFile(path, 'utf8');
    for (const damaged of [text.replace('c'.repeat(64), 'd'.repeat(64)), text.slice(0, 40), '{"members":{"bank":1}}']) {
      await writeFile(path, damaged);
      await expect(open()).rejects.toMatchObject({ code: 'roster-memory/damaged', where: path });
    }
  });
});
