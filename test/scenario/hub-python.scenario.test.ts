/** Downstream services pull adapters with Python: the real `huggingface_hub` and `peft` against a coordinator. */

import { execFile, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { routes } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';

const root = resolve(import.meta.dirname, '..', '..');
const base = join(root, 'deploy', 'demo', 'base');
const REPOSITORY = 'city/support';
const MEASURED = [
  { loss: 2, exact: 0.1 },
  { loss: 1, exact: 0.5 },
  { loss: 0.9, exact: 0.6 },
];

/** One with the packages: `FEDLORA_PYTHON`, else the one of the machine. */
const python = process.env['FEDLORA_PYTHON'] ?? 'python3';
const isMissing =
  spawnSync(python, [
    '-c',
    'from importlib.util import find_spec; import sys; sys.exit(not all(map(find_spec, ["torch", "transformers", "peft", "huggingface_hub"])))',
  ]).status !== 0;

/** Where the packages are missing, one test says so by name: CI allows no skipped ones, and its machine may not offer them. */
if (isMissing)
  describe('huggingface_hub and peft', () => {
    it(`are not met here: ${python} has not all of torch, transformers, peft, huggingface_hub`, () => {
      expect(isMissing).toBe(true);
    });
  });

if (!isMissing)
  describe('huggingface_hub and peft', () => {
    let network: ReleaseNetwork;
    let versions: string[];

    beforeAll(async () => {
      network = await ReleaseNetwork.start(MEASURED);
      const config = JSON.parse(await readFile(join(base, 'config.json'), 'utf8')) as Record<string, number>;
      const { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads } = config;
      const shape = { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads };
      await network.complete({
        ...measuredRun(REPOSITORY, MEASURED.length),
        base: { name: 'fedlora-demo-base', digest: 'b'.repeat(64), shape },
      });
      versions = await network.versionsOf(REPOSITORY);
      await network.operate('PUT', routes.channel(REPOSITORY, 'stable'), { version: versions[2] });
      await network.operate('POST', routes.revocation(versions[0]), { reason: 'for the test' });
    });
    afterAll(() => network?.stop());

    it('pull, list and load what is stable, and are told what is not there', async () => {
      const { stdout } = await promisify(execFile)(
        python,
        [
          join(root, 'test', 'interop', 'hub_pull.py'),
          REPOSITORY,
          base,
          ...['--stable', versions[2], '--candidate', versions[3], '--revoked', versions[0]],
        ],
        { env: { ...process.env, HF_ENDPOINT: network.url, HF_TOKEN: network.token } },
      );
      const seen = JSON.parse(stdout) as Record<string, unknown>;
      expect(seen['snapshot']).toContain('adapter_model.safetensors');
      expect(Number(seen['downloads after'])).toBeGreaterThan(Number(seen['downloads before']));
    });
  });
