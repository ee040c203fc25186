import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeConfig } from '../config/client-config.js';
import { homeAt, type Home } from '../config/home.js';
import { writePolicy } from '../config/policy-file.js';
import { startDaemon } from './start.js';

describe('starting a daemon that is to learn from canaries', () => {
  let home: Home;
  beforeEach(async () => {
    home = homeAt(await mkdtemp(join(tmpdir(), 'fedlora-start-')));
    const config = {
      coordinator: 'https://fedlora.example.org',
      organisation: 'clinic',
      'dataset.canaries': 'c.jsonl',
    };
    await writeConfig(home.config, new Map(Object.entries(config)));
  });
  afterEach(() => rm(home.directory, { recursive: true, force: true }));

  it('is refused as long as the owner allows none', async () => {
    await writePolicy(home.policy, new Map());
    await expect(startDaemon(home)).rejects.toMatchObject({ code: 'policy/canaries-not-allowed' });
  });

  it('goes on where the owner allows them', async () => {
    await writePolicy(home.policy, new Map([['canaries', 'allowed']]));
    await expect(startDaemon(home)).rejects.toMatchObject({ code: 'client/not-enrolled' }); // The next thing that it asks for.
  });
});
