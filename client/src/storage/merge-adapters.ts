/** Versions' folders merged into one that nobody signed, and the check of such a folder: its parents are merged again. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { canonicalJson } from '@fedlora/protocol';
import {
  ADAPTER_CONFIG_FILE,
  ADAPTER_WEIGHTS_FILE,
  FedloraError,
  mergedVersion,
  type MergeChoice,
  type MergeParent,
  type VersionRecord,
} from '@fedlora/shared';
import { writeNewFolder } from './new-folder.js';
import { isSigned, notAuthentic, unsignedFolder, verifyAdapter, type Verified } from './verify-adapter.js';

export interface FolderToMerge {
  readonly folder: string;
  readonly weight: number;
}

/**
 * Checks each folder, merges them and writes the result, whole or not at all.
 *
 * @param createdAt ms since 1970
 * @throws FedloraError adapter/not-authentic | adapter/not-mergeable | config/invalid: the target is there
 */
export async function writeMerged(
  folders: readonly FolderToMerge[],
  target: string,
  choice: MergeChoice & { readonly createdAt: number },
  coordinatorKey: string,
): Promise<VersionRecord> {
  const parents: MergeParent[] = [];
  for (const { folder, weight } of folders)
    parents.push(await parentIn(folder, (await verifyAdapter(folder, coordinatorKey)).record, weight));
  const { record, contents } = await mergedVersion(parents, choice);
  await writeNewFolder(target, new Map([...contents, ['manifest.json', canonicalJson(record)]]));
  return record;
}

/**
 * Checks a folder, signed or not, and merges its parents again: it must be exactly that.
 *
 * @param parents folders of signed versions, in any order
 * @throws FedloraError adapter/not-authentic: it is no merge, a parent is missing, or it is another than their merge
 */
export async function verifyMerge(
  folder: string,
  parents: readonly string[],
  coordinatorKey: string,
  expectedId?: string,
): Promise<Verified & { readonly isSigned: boolean }> {
  const signed = await isSigned(folder);
  const { record, isAttested } = signed
    ? await verifyAdapter(folder, coordinatorKey, expectedId)
    : { record: await unsignedFolder(folder), isAttested: false };
  const { merge } = record;
  if (merge === undefined) throw notAuthentic(folder, 'It was not merged from others.');
  if (record.conversion !== undefined)
    throw notAuthentic(
      folder,
      `Its weights were converted: what its parents give is version ${record.conversion.version}.`,
    );
  if (expectedId !== undefined && record.id !== expectedId)
    throw notAuthentic(folder, 'The version is not the one that was asked for.');
  const known = new Map<string, MergeParent>();
  for (const parent of parents) {
    const verified = await verifyAdapter(parent, coordinatorKey);
    known.set(verified.record.id, await parentIn(parent, verified.record, 0));
  }
  const inOrder = merge.parents.map(({ version, weight }): MergeParent => {
    const parent = known.get(version);
    if (parent === undefined) throw notAuthentic(folder, `Its parent ${version} is not among those that were given.`);
    return { ...parent, weight };
  });
  const again = await mergedVersion(inOrder, {
    method: merge.method,
    ...(merge.method === 'svd' ? { rank: merge.rank } : {}),
    createdAt: record.createdAt,
    // Which runs have nobody in common is the coordinator's word; without it nobody knows.
    groupOf: (runId) => (signed ? (merge.releases.find((release) => release.runId === runId)?.group ?? 0) : 0),
  }).catch((cause: unknown) => {
    throw FedloraError.from(cause).code === 'adapter/not-mergeable'
      ? notAuthentic(folder, 'Its parents cannot be merged as it says.', cause)
      : cause;
  });
  if (again.record.id !== record.id)
    throw notAuthentic(folder, 'It is not what its parents give when they are merged.');
  return { record, isAttested, isSigned: signed };
}

/** What is merged of a folder that was checked. */
async function parentIn(folder: string, record: VersionRecord, weight: number): Promise<MergeParent> {
  const [config, weights] = await Promise.all([
    readFile(join(folder, ADAPTER_CONFIG_FILE), 'utf8'),
    readFile(join(folder, ADAPTER_WEIGHTS_FILE)),
  ]);
  return { record, config, weights, weight };
}
