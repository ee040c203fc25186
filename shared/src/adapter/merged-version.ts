/**
 * A version that was merged from others: its files and its record, from theirs alone.
 *
 * Guarantee  the same parents, weights, choice and time give the same bytes on every machine. So whoever has the parents can make a
 *            merge again, and see that it is what it says; and a coordinator signs no merge that it did not make itself.
 */

import { composeReleases, sha256, toHex, utf8, type RunRelease } from '@fedlora/protocol';
import { FedloraError } from '../errors/fedlora-error.js';
import { oneLine } from './card-text.js';
import { mergeAdapters, readLora, type MergeChoice, type MergeMethod } from './merge.js';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  adapterConfigJson,
  encodeAdapter,
  parseAdapterConfig,
} from './peft.js';
import { versionId, type VersionRecord } from './version.js';

/** A version with what is merged of it. Who calls has checked that the files are those of the record. */
export interface MergeParent {
  readonly record: VersionRecord;
  /** Text of adapter_config.json. */
  readonly config: string;
  /** Bytes of adapter_model.safetensors. */
  readonly weights: Uint8Array;
  readonly weight: number;
}

export interface MergeOptions extends MergeChoice {
  readonly createdAt: number;
  /** Runs with different numbers are known to have no organisation in common; without it nothing is known, and epsilons add up. */
  readonly groupOf?: (runId: string) => number;
  /** As of `mergeAdapters`. */
  readonly betweenLayers?: () => Promise<unknown>;
}

export interface MergedVersion {
  readonly record: VersionRecord;
  /** Every file that the record names. */
  readonly contents: ReadonlyMap<string, Uint8Array>;
}

/** @throws FedloraError adapter/not-mergeable | adapter/* | safetensors/*: a parent is not what can be merged */
export async function mergedVersion(parents: readonly MergeParent[], options: MergeOptions): Promise<MergedVersion> {
  const { method, rank, createdAt, groupOf, betweenLayers } = options;
  const records = parents.map(({ record }) => record);
  const parts = parents.map(({ config, weights, weight }) => ({
    adapter: readLora(parseAdapterConfig(config), weights),
    weight,
  }));
  if (new Set(records.map(({ id }) => id)).size < records.length)
    throw new FedloraError('adapter/not-mergeable', 'One version is named twice: give it the sum of its weights.');
  if (new Set(records.map(({ base }) => base.digest)).size > 1)
    throw new FedloraError('adapter/not-mergeable', 'They are of base models with different files.');
  const merged = await mergeAdapters(parts, rank === undefined ? { method } : { method, rank }, betweenLayers);

  const releases = releasesOf(records, groupOf);
  const { unit, epsilon, delta } = composeReleases(releases);
  const [first] = records;
  const merge = {
    method,
    rank: merged.config.r,
    parents: parents.map(({ record, weight }) => ({ version: record.id, weight })),
    releases,
  };
  const facts = { base: first.base, unit, epsilon, delta, merge };
  const contents = new Map<string, Uint8Array>([
    [ADAPTER_CONFIG_FILE, utf8(adapterConfigJson(merged.config))],
    [ADAPTER_WEIGHTS_FILE, encodeAdapter(merged.modules, merged.config.r, merged.tensors)],
    ['README.md', utf8(mergeCard(facts))],
  ]);
  const unnamed: Omit<VersionRecord, 'id'> = {
    ...facts,
    runId: first.runId,
    parent: first.id,
    roundId: null,
    completedRounds: first.completedRounds,
    manifestHash: first.manifestHash,
    rosterHash: first.rosterHash,
    createdAt,
    files: [...contents].map(([name, bytes]) => ({ name, sha256: toHex(sha256(bytes)), bytes: bytes.length })),
  };
  return { record: { id: versionId(unnamed), ...unnamed }, contents };
}

/** Of each run the most that was taken from it, in the order in which the parents name them. */
export function releasesOf(
  records: readonly VersionRecord[],
  groupOf: (runId: string) => number = () => 0,
): RunRelease[] {
  const releases = new Map<string, RunRelease>();
  const all = records.flatMap(
    ({ merge, runId, unit, epsilon, delta }): readonly Omit<RunRelease, 'group'>[] =>
      merge?.releases ?? [{ runId, unit, epsilon, delta }],
  );
  for (const { runId, unit, epsilon, delta } of all) {
    const known = releases.get(runId);
    // Versions of one run have one unit and one delta: the later one has the larger epsilon.
    if (known === undefined || (epsilon ?? Infinity) > (known.epsilon ?? Infinity))
      releases.set(runId, { runId, unit, epsilon, delta, group: groupOf(runId) });
  }
  return [...releases.values()];
}

const methodNotes: Readonly<Record<MergeMethod, string>> = {
  linear: 'factors averaged, which is approximate: their product has mixed terms that belong to no parent',
  cat: 'factors side by side, which is exact',
  svd: 'the nearest product of this rank to the sum of the changes',
};

function mergeCard(facts: Required<Pick<VersionRecord, 'base' | 'unit' | 'epsilon' | 'delta' | 'merge'>>): string {
  const { base, merge } = facts;
  const name = oneLine(base.name);
  return `---
library_name: peft
base_model: ${JSON.stringify(base.name)}
tags:
  - lora
  - federated-learning
  - merge
---

# Merge of ${merge.parents.length} adapters

A LoRA adapter for \`${name}\` (files ${base.digest}), merged from ${merge.parents.length} others with the method \`${merge.method}\`: ${methodNotes[merge.method]}.

| parent | weight |
|---|---|
${merge.parents.map(({ version, weight }) => `| \`${version}\` | ${weight} |`).join('\n')}

The result has r ${merge.rank} and lora_alpha ${merge.rank}. Nobody has measured it: what was measured of its parents says little about it.

## Privacy

${privacy(facts)}

| run | unit | epsilon | delta | group |
|---|---|---|---|---|
${merge.releases.map(({ runId, unit, epsilon, delta, group }) => `| ${runId} | ${unit} | ${epsilon?.toFixed(3) ?? 'none'} | ${delta ?? 'none'} | ${group} |`).join('\n')}

## Use

\`\`\`python
from transformers import AutoModelForCausalLM
from peft import PeftModel

model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("${name}"), "path/of/this/folder")
\`\`\`

\`manifest.json\` says where this version comes from. \`fedlora adapter verify DIR\` checks it; with \`--parents\` it merges them again and
compares, so that nobody's signature on the merge is needed.
`;
}

function privacy({
  unit,
  epsilon,
  delta,
  merge,
}: Pick<VersionRecord, 'unit' | 'epsilon' | 'delta'> & {
  readonly merge: { readonly releases: readonly RunRelease[] };
}): string {
  if (unit === 'none')
    return '**No differential privacy.** A parent comes from a run that adds no noise: what this adapter tells about its training data is not bounded.';
  const protects = unit === 'client' ? 'everything that one organisation contributed' : 'one training record';
  const isApart = new Set(merge.releases.map(({ group }) => group)).size > 1;
  return [
    `Differential privacy for **${protects}** (unit \`${unit}\`): **epsilon ${epsilon?.toFixed(3)} at delta ${delta}**, as long as what each run assumes holds.`,
    'Merging looks at the parents only and adds nothing. Of one run, the version that spent the most counts, alone.',
    isApart
      ? 'Runs of one group may have an organisation in common, so their epsilons and deltas add up; runs of different groups have none in\ncommon, as the coordinator’s rosters show, so the largest group counts.'
      : 'Its runs may have an organisation in common, so epsilons and deltas of all of them add up.',
  ].join('\n');
}
