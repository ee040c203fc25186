/** Downstream services pull adapters with Python: the real `huggingface_hub` and `peft` against a coordinator. */

import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { routes } from '@fedlora/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pullCommand } from '../demo/pull.js';
import { measuredRun, ReleaseNetwork } from '../support/release-network.js';

const root = resolve(import.meta.dirname, '..', '..');
const base = join(root, 'deploy', 'demo', 'base');
const REPOSITORY = 'city/support';
const MEASURED = [
  { loss: 2, exact: 0.1 },
  { loss: 1, exact: 0.5 },
  { loss: 0.9, exact: 0.6 },
];

const PACKAGES = ['torch', 'transformers', 'peft', 'huggingface_hub'];

const python = process.env['FEDLORA_PYTHON'] ?? '';

/** Why the packages are not met here, if so: what is absent. */
function absence(): string | undefined {
  if (python === '') return `FEDLORA_PYTHON names no Python with ${PACKAGES.join(', ')}`;
  const script =
    'import sys; from importlib.util import find_spec; print(*(one for one in sys.argv[1:] if find_spec(one) is None))';
  const { status, stdout } = spawnSync(python, ['-c', script, ...PACKAGES], { encoding: 'utf8' });
  if (status !== 0) return `${python}, which FEDLORA_PYTHON names, does not run`;
  const missing = stdout.trim();
  return missing === ''
    ? undefined
    : `${python}, which FEDLORA_PYTHON names, is without ${missing.replaceAll(' ', ', ')}`;
}

/** Starting Python with these packages takes 5 seconds, and a minute beside tests that want both cores. */
const TIMEOUT_MS = 300_000;

const absent = absence();

/** Where the packages are missing, one test says so by name: CI allows no skipped ones, and its machine may not offer them. */
if (absent !== undefined)
  describe('huggingface_hub and peft', () => {
    it(`are not met here: ${absent}`, () => {
      expect(absent).not.toBe('');
    });
  });

if (absent === undefined)
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

    it(
      'pull, list and load what is stable, and are told what is not there',
      async () => {
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
      },
      TIMEOUT_MS,
    );

    it(
      'load the adapter by the command line that the demo prints',
      async () => {
        const { url, token } = network;
        const cache = await mkdtemp(join(tmpdir(), 'fedlora-hub-'));
        try {
          const command = pullCommand({ url, token, base, repository: REPOSITORY, python });
          const { stdout } = await promisify(execFile)('sh', ['-c', command], {
            env: { ...process.env, HF_HOME: cache, HF_HUB_DISABLE_TELEMETRY: '1' },
          });
          expect(stdout).toContain('LoraConfig(');
        } finally {
          await rm(cache, { recursive: true });
        }
      },
      TIMEOUT_MS,
    );
  });
