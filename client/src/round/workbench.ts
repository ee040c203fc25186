/**
 * What a round needs from this machine, kept between rounds: the tokens of the data set, and an engine with the base model loaded.
 *
 * Both are made when first needed and again when what they were made from changes: rows are read and tokenised once for each state
 * of their files, and the engine is opened once for each kind of adapter.
 */

import { stat } from 'node:fs/promises';
import { setImmediate as pause } from 'node:timers/promises';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  checkedFrozenFactors,
  decodeAdapter,
  decodeFactorR,
  expandTargetModules,
  FACTOR_R_FILE,
  FedloraError,
  parseAdapterConfig,
  plainLora,
} from '@fedlora/shared';
import { ProtocolError, type Manifest } from '@fedlora/protocol';
import { publicRandom } from '@fedlora/protocol/node';
import type { AdapterValues, Engine, LoraConfig } from '../engine/engine.js';
import type { AdapterStore } from '../storage/adapters.js';
import type { CheckedVersion } from '../storage/version-check.js';
import { exampleTerms, type ExampleTerms, type OwnedExample } from './round-example.js';
import type { VerifiedRound } from './verify-offer.js';

/**
 * Largest |value| of an adapter that a round may start from. Honest runs stay under learning rate times rounds, 2.4 in the demo;
 * far larger values make f32 overflow, and tell the coordinator more about rows than what is computed from them should.
 */
export const MAXIMUM_ADAPTER_VALUE = 4;

export interface WorkbenchParts {
  /** Files of rows. */
  readonly files: readonly string[];
  /** Reads and tokenises every row. */
  readonly readExamples: (files: readonly string[], terms: ExampleTerms) => Promise<readonly OwnedExample[]>;
  /** Opens the base model with an adapter of this kind. Examples independent: see `needsIndependentExamples`. */
  readonly openEngine: (lora: LoraConfig, independentExamples: boolean) => Promise<Engine>;
}

export class Workbench {
  private tokens: { readonly key: string; readonly examples: readonly OwnedExample[] } | undefined;
  private opened: { readonly key: string; readonly engine: Engine } | undefined;

  constructor(private readonly parts: WorkbenchParts) {}

  /** The data set as tokens, one example a row. @throws FedloraError data/... | tokenizer/... */
  async examples(manifest: Pick<Manifest, 'data' | 'metrics'>): Promise<readonly OwnedExample[]> {
    const { files } = this.parts;
    if (files.length === 0)
      throw new FedloraError('data/empty', 'No data is configured: `dataset.files` in config.yaml.');
    const terms = exampleTerms(manifest);
    const key = JSON.stringify([terms, await Promise.all(files.map(fileState))]);
    if (this.tokens?.key !== key) {
      this.tokens = undefined;
      this.tokens = { key, examples: await this.parts.readExamples(files, terms) };
    }
    return this.tokens.examples;
  }

  /** The engine with this adapter in it. */
  async engine(
    terms: Manifest['adapter'],
    adapter: AdapterValues,
    { independentExamples }: { readonly independentExamples: boolean },
  ): Promise<Engine> {
    const expanded = expandTargetModules(terms.targetModules);
    if ('unknown' in expanded) throw new FedloraError('base-model/modules-mismatch');
    const lora: LoraConfig = {
      r: terms.r,
      lora_alpha: terms.loraAlpha,
      use_rslora: false,
      target_modules: expanded.names,
    };
    const key = JSON.stringify([lora, independentExamples]);
    if (this.opened?.key !== key) {
      await this.close();
      this.opened = { key, engine: await this.parts.openEngine(lora, independentExamples) };
    }
    const { engine } = this.opened;
    return this.working(async () => {
      engine.setAdapter(adapter);
      return engine;
    });
  }

  /**
   * Work of the engine. One that fails, as where its device is lost, is not used again: the next round opens another.
   *
   * @throws FedloraError engine/failed: for errors that are not of the catalogue
   */
  async working<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof FedloraError || error instanceof ProtocolError) throw error;
      await this.close().catch(() => undefined); // A device that is gone cannot be closed either.
      throw new FedloraError('engine/failed', undefined, { cause: error });
    }
  }

  async close(): Promise<void> {
    const { opened } = this;
    this.opened = undefined;
    await opened?.engine.close();
  }
}

/** Where the adapter of a round comes from: this disk, or the coordinator. */
export class AdapterSource {
  private last: { readonly id: string; readonly values: AdapterValues } | undefined;
  /** The frozen factors of the last `fed-sb` run, which take a while to make. */
  private frozen: { readonly manifestHash: string; readonly factors: Promise<AdapterValues> } | undefined;

  constructor(
    private readonly store: AdapterStore,
    private readonly download: (id: string, signal: AbortSignal) => Promise<CheckedVersion>,
  ) {}

  /**
   * The values that a round starts from.
   *
   * Guarantee  signed by the pinned coordinator key, whole, of the run, base model, layout and number of rounds that were offered.
   *            `fed-sb`: frozen factors are those of the run's id, and what the version publishes is their product with its R.
   * @throws FedloraError version/... | adapter/... | safetensors/... | connection/...
   */
  async load(round: VerifiedRound, signal: AbortSignal): Promise<AdapterValues> {
    const id = round.baseVersion;
    let version = await this.store.read(id);
    if (version === undefined) {
      version = await this.download(id, signal);
      await this.store.write(version);
    }
    checkLineage(version, round);
    if (this.last?.id !== id) {
      const frozen = round.manifest.adapter.rule === 'fed-sb' ? await this.frozenFactors(round) : undefined;
      this.last = { id, values: valuesOf(version, round.manifest, frozen) };
    }
    return this.last.values;
  }

  /** Goes on being made when a round's deadline passes meanwhile: the next round then finds it. */
  private frozenFactors({ manifest, manifestHash }: VerifiedRound): Promise<AdapterValues> {
    if (this.frozen?.manifestHash !== manifestHash)
      this.frozen = { manifestHash, factors: checkedFrozenFactors(manifest, { publicRandom, pause }) };
    return this.frozen.factors;
  }
}

/** @throws FedloraError version/wrong-run */
function checkLineage({ record }: CheckedVersion, round: VerifiedRound): void {
  const belongs =
    record.runId === round.manifest.runId &&
    record.manifestHash === round.manifestHash &&
    record.rosterHash === round.rosterHash &&
    record.base.digest === round.manifest.base.digest &&
    record.completedRounds === round.completedRounds;
  if (!belongs) throw new FedloraError('version/wrong-run');
}

function valuesOf({ files }: CheckedVersion, manifest: Manifest, frozen: AdapterValues | undefined): AdapterValues {
  // Safe: `checkRecord` demands both files.
  const config = parseAdapterConfig(Buffer.from(files.get(ADAPTER_CONFIG_FILE)!).toString('utf8'));
  if (config.r !== manifest.adapter.r || config.lora_alpha !== manifest.adapter.loraAlpha || config.use_rslora) {
    throw new FedloraError('version/wrong-run', 'The adapter’s r or lora_alpha are not those of the terms.');
  }
  const { modules, r } = manifest.adapter;
  const plain = decodeAdapter(files.get(ADAPTER_WEIGHTS_FILE)!, modules, r);
  checkPlausible(plain);
  const fileR = files.get(FACTOR_R_FILE);
  if ((fileR === undefined) !== (frozen === undefined))
    throw new FedloraError(
      'version/malformed',
      `The version has ${fileR === undefined ? 'no' : 'a'} ${FACTOR_R_FILE}, against the run's rule.`,
    );
  if (fileR === undefined || frozen === undefined) return plain;
  const factorsR = decodeFactorR(fileR, modules, r);
  const values = { modules: frozen.modules.map((module, i) => ({ ...module, R: factorsR[i] })) };
  checkPlausible(values);
  if (!isSame(plainLora(values, r), plain)) throw new FedloraError('version/not-its-product');
  return values;
}

/** Whether two plain adapters have the same values. */
function isSame(one: AdapterValues, other: AdapterValues): boolean {
  const same = (a: Float32Array, b: Float32Array): boolean => a.every((value, i) => value === b[i]);
  return one.modules.every(({ A, B }, i) => same(A, other.modules[i].A) && same(B, other.modules[i].B));
}

/** @throws FedloraError adapter/implausible */
export function checkPlausible({ modules }: AdapterValues): void {
  // Negated, so that NaN fails.
  const isWithin = (value: number): boolean => Math.abs(value) <= MAXIMUM_ADAPTER_VALUE;
  if (!modules.every(({ A, B, R }) => A.every(isWithin) && B.every(isWithin) && (R ?? []).every(isWithin)))
    throw new FedloraError('adapter/implausible', undefined, { details: { maximum: MAXIMUM_ADAPTER_VALUE } });
}

/** Changes whenever a file is written again. */
async function fileState(path: string): Promise<string> {
  const facts = await stat(path).catch((cause: unknown) => {
    throw new FedloraError('data/not-found', undefined, { where: path, cause });
  });
  return `${path}/${facts.size}/${facts.mtimeMs}`;
}
