import { describe, expect, it } from 'vitest';
import { publicRandom } from '@fedlora/protocol/node';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  adapterConfigJson,
  encodeAdapter,
  encodeFactorR,
  FACTOR_R_FILE,
  frozenFactorsOfRun,
  plainLora,
} from '@fedlora/shared';
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

const pause = async (): Promise<void> => undefined;
const { adapter: frozen, digest } = await frozenFactorsOfRun(manifest.runId, manifest.adapter, { publicRandom, pause });

describe('a version of a fed-sb run', () => {
  const terms = aManifest({ adapter: { ...manifest.adapter, rule: 'fed-sb', frozenDigest: digest } });
  const adapter = {
    modules: frozen.modules.map((module) => ({ ...module, R: Float32Array.of(0.3, -1.7, 0.9, 1 / 3) })),
  };

  /** Loads the version with its files, or the terms, changed. */
  function loadChanged(changes: ReadonlyMap<string, Uint8Array | undefined>, manifestOfRun = terms): Promise<unknown> {
    const version = aVersion(0);
    const files = new Map(version.files)
      .set(ADAPTER_WEIGHTS_FILE, encodeAdapter(modules, r, adapter))
      .set(FACTOR_R_FILE, encodeFactorR(modules, r, adapter));
    for (const [name, bytes] of changes) {
      if (bytes === undefined) files.delete(name);
      else files.set(name, bytes);
    }
    const store = { read: async () => ({ ...version, files }) } as unknown as AdapterStore;
    const source = new AdapterSource(store, () => Promise.reject(new Error('There is nothing to download.')));
    return source.load({ ...round, manifest: manifestOfRun }, new AbortController().signal);
  }

  it('gives R exactly as it was written, between the frozen factors of the run', async () => {
    expect(await loadChanged(new Map())).toEqual(adapter);
  });

  const changedBy = (change: (values: Float32Array) => void, factor: 'A' | 'B' | 'R'): typeof adapter => {
    const copy = structuredClone(adapter);
    change(copy.modules[0][factor]);
    return copy;
  };
  const inTheLastBit = (values: Float32Array): void => {
    new Int32Array(values.buffer)[3] += 1;
  };

  it.each(['A', 'B'] as const)('attack: a published %s that differs in one bit from what R gives', async (factor) => {
    const { modules: plain } = plainLora(adapter, r);
    const lie = structuredClone({ modules: plain.map(({ A, B }) => ({ A, B })) });
    inTheLastBit(lie.modules[0][factor]);
    const files = new Map([[ADAPTER_WEIGHTS_FILE, encodeAdapter(modules, r, lie)]]);
    await expect(loadChanged(files)).rejects.toMatchObject({ code: 'version/not-its-product' });
  });

  it('attack: another R than the published one', async () => {
    const files = new Map([
      [
        FACTOR_R_FILE,
        encodeFactorR(
          modules,
          r,
          changedBy((R) => (R[1] += 0.01), 'R'),
        ),
      ],
    ]);
    await expect(loadChanged(files)).rejects.toMatchObject({ code: 'version/not-its-product' });
  });

  it('attack: an R so large that rounding tells about rows', async () => {
    const large = changedBy((R) => R.fill(5), 'R');
    const files = new Map([
      [FACTOR_R_FILE, encodeFactorR(modules, r, large)],
      [ADAPTER_WEIGHTS_FILE, encodeAdapter(modules, r, large)],
    ]);
    await expect(loadChanged(files)).rejects.toMatchObject({ code: 'adapter/implausible' });
  });

  it('attack: terms that name other frozen factors than the run id gives', async () => {
    const other = changedBy(inTheLastBit, 'B');
    const lie = { ...terms, adapter: { ...terms.adapter, frozenDigest: 'e'.repeat(64) } };
    const files = new Map([[ADAPTER_WEIGHTS_FILE, encodeAdapter(modules, r, other)]]);
    await expect(loadChanged(files, lie)).rejects.toMatchObject({ code: 'adapter/frozen-mismatch' });
  });

  it('is refused without its R, and R is refused where the rule has none', async () => {
    const missing = loadChanged(new Map([[FACTOR_R_FILE, undefined]]));
    await expect(missing).rejects.toMatchObject({ code: 'version/malformed' });
    await expect(loadChanged(new Map(), manifest)).rejects.toMatchObject({ code: 'version/malformed' });
  });
});
