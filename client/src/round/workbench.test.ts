import { describe, expect, it } from 'vitest';
import { ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, adapterConfigJson, encodeAdapter } from '@fedlora/shared';
import { aManifest } from '../../../test/support/a-manifest.js';
import type { AdapterStore } from '../storage/adapters.js';
import type { CheckedVersion } from '../storage/version-check.js';
import type { VerifiedRound } from './verify-offer.js';
import { AdapterSource, checkPlausible, MAXIMUM_ADAPTER_VALUE } from './workbench.js';

const manifest = aManifest();
const { r, loraAlpha, modules, targetModules } = manifest.adapter;
// Safe: nothing else of a round is looked at.
const round = {
  manifest,
  manifestHash: 'm',
  rosterHash: 'r',
  baseVersion: 'v'.repeat(40),
  completedRounds: 3,
} as VerifiedRound;

/** A version of the run whose adapter has one value `extreme` and is zero elsewhere. */
function aVersion(extreme: number): CheckedVersion {
  const values = {
    modules: modules.map(({ inFeatures, outFeatures }) => ({
      A: new Float32Array(r * inFeatures),
      B: new Float32Array(outFeatures * r),
    })),
  };
  values.modules[0].B[5] = extreme;
  const config = { r, lora_alpha: loraAlpha, use_rslora: false, target_modules: targetModules };
  return {
    record: { runId: 'run-1', manifestHash: 'm', rosterHash: 'r', base: manifest.base, completedRounds: 3 },
    files: new Map([
      [
        ADAPTER_CONFIG_FILE,
        Buffer.from(adapterConfigJson({ ...config, base_model_name_or_path: 'tiny', revision: null })),
      ],
      [ADAPTER_WEIGHTS_FILE, encodeAdapter(modules, r, values)],
    ]),
  } as unknown as CheckedVersion; // Safe: the record's other fields have no part here.
}

const load = (extreme: number): Promise<unknown> => {
  const store = { read: async () => aVersion(extreme) } as unknown as AdapterStore;
  const source = new AdapterSource(store, () => Promise.reject(new Error('There is nothing to download.')));
  return source.load(round, new AbortController().signal);
};

describe('attack: an adapter so large that rounding, or overflow, tells about rows', () => {
  it.each([0, 2.4, -2.4, MAXIMUM_ADAPTER_VALUE, -MAXIMUM_ADAPTER_VALUE])(
    'takes honest values such as %d',
    async (value) => {
      await expect(load(value)).resolves.toBeDefined();
    },
  );

  it.each([4.001, -4.001, 30, 1e20, -3e38])('refuses %d before training', async (value) => {
    await expect(load(value)).rejects.toMatchObject({ code: 'adapter/implausible' });
  });

  it.each([NaN, Infinity])('refuses %d', (value) => {
    const adapter = { modules: [{ A: Float32Array.of(0), B: Float32Array.of(value) }] };
    expect(() => checkPlausible(adapter)).toThrowError(expect.objectContaining({ code: 'adapter/implausible' }));
  });
});
