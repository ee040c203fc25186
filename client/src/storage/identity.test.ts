import { chmod, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { fromHex, utf8 } from '@fedlora/protocol';
import { nodeProvider } from '@fedlora/protocol/node';
import { createIdentity, readIdentity } from './identity.js';

const keyPath = async (): Promise<string> => join(await mkdtemp(join(tmpdir(), 'fedlora-identity-')), 'identity.key');

describe('identity', () => {
  it('is readable by its owner only, and the same after a restart', async () => {
    const path = await keyPath();
    const made = await createIdentity(path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const read = await readIdentity(path);
    expect(read.publicKey).toBe(made.publicKey);
    const message = utf8('hello');
    expect(nodeProvider.ed25519.verify(read.sign(message), message, fromHex(made.publicKey))).toBe(true);
  });

  it('never replaces a key and never prints one', async () => {
    const path = await keyPath();
    const made = await createIdentity(path);
    await expect(createIdentity(path)).rejects.toMatchObject({ code: 'identity/exists' });
    expect(inspect(made, { depth: 5 })).toContain('[secret]');
    expect(JSON.stringify(made)).not.toMatch(new RegExp(`(?!${made.publicKey})[0-9a-f]{64}.*[0-9a-f]{64}`));
  });

  it('that others can read is refused', async () => {
    const path = await keyPath();
    await createIdentity(path);
    await chmod(path, 0o644);
    await expect(readIdentity(path)).rejects.toMatchObject({ code: 'identity/unsafe' });
  });
});
