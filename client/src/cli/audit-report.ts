/** An audit of an adapter: what is measured, and how it is told. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recordPromise, type RecordPromise } from '@fedlora/protocol';
import { FedloraError, unsignedRecord } from '@fedlora/shared';
import { lossesOf } from '../audit/audit-losses.js';
import { canaryRow } from '../audit/canaries.js';
import { readCanaries } from '../audit/canary-record.js';
import {
  measureCanaries,
  membershipTests,
  type AuditLosses,
  type CanaryFindings,
  type MembershipTests,
} from '../audit/measure-canaries.js';
import { FALSE_POSITIVE_RATE, type Separation } from '../audit/membership.js';
import type { GivenFormat } from '../data/row-formats.js';
import { tokenizeRows, type Example } from '../data/tokenize.js';
import { lengthLimit, openLocalModel, type EngineOptions, type LocalModel } from './local-model.js';
import { readLocalRows } from './local-rows.js';

export interface AuditRequest {
  /** File. */
  readonly record: string;
  /** Folders. */
  readonly base: string;
  readonly adapter: string;
  readonly references: readonly string[];
  /** In the place of what the adapter's manifest.json says. */
  readonly promise: RecordPromise | undefined;
  readonly rows: { readonly members: string; readonly others: string } | undefined;
  readonly rowFormat: GivenFormat;
  readonly maxLength?: number | undefined;
  readonly engineOptions: EngineOptions;
  readonly onProgress: (line: string) => void;
}

export interface AuditReport extends CanaryFindings {
  readonly adapter: string;
  /** Of the adapter's manifest.json; `null`: it has none. */
  readonly versionId: string | null;
  /** Of one record; `null`: none. */
  readonly promise: RecordPromise | null;
  /** Of the canaries' record. */
  readonly seal: string;
  /** Adapters that took the place of the base model alone as reference. */
  readonly references: number;
  /** Of the owner's rows; `null`: none were given. */
  readonly rows: (MembershipTests & { readonly members: number; readonly others: number }) | null;
}

/** @throws FedloraError data/... | adapter/... | base-model/... | engine/... */
export async function auditAdapter(request: AuditRequest): Promise<AuditReport> {
  const { record, seal } = await readCanaries(request.record);
  const version = await versionOf(request.adapter);
  const promise = request.promise ?? version?.promise;
  const measured = await lossesOfAll(request, async ({ engine, tokenizer }) => {
    const maximumLength = request.maxLength ?? lengthLimit(engine);
    const rows = record.canaries.map((canary, i) => canaryRow(canary, record.format, request.record, i + 1));
    const canaries = tokenizeRows(rows, tokenizer, { maximumLength });
    if (canaries.problems.length > 0)
      throw new FedloraError('data/too-long', `A canary ${canaries.problems[0].reason}.`, { where: request.record });
    if (request.rows === undefined) return [canaries.examples];
    const read = async (file: string): Promise<readonly Example[]> =>
      (await readLocalRows([file], tokenizer, { format: request.rowFormat, maximumLength })).examples;
    return [canaries.examples, await read(request.rows.members), await read(request.rows.others)];
  });
  const [ofCanaries, ...ofRows] = measured;
  return {
    adapter: request.adapter,
    versionId: version?.id ?? null,
    promise: promise ?? null,
    seal,
    references: request.references.length,
    ...measureCanaries(record, ofCanaries, promise),
    rows: ofRows.length === 0 ? null : rowsFound(ofRows[0], ofRows[1]),
  };
}

function rowsFound(members: AuditLosses, others: AuditLosses): NonNullable<AuditReport['rows']> {
  const counts = { members: members.adapter.length, others: others.adapter.length };
  const isMember = [...members.adapter.map(() => true), ...others.adapter.map(() => false)];
  const together: AuditLosses = {
    adapter: [...members.adapter, ...others.adapter],
    references: members.references.map((losses, i) => [...losses, ...others.references[i]]),
  };
  return { ...membershipTests(together, isMember), ...counts };
}

/** Losses of lists of examples, which are read with the first model that is opened: of the adapter, and of each reference. */
async function lossesOfAll(
  { base, adapter, references, engineOptions, onProgress }: AuditRequest,
  read: (model: LocalModel) => Promise<readonly (readonly Example[])[]>,
): Promise<readonly AuditLosses[]> {
  let lists: readonly (readonly Example[])[] | undefined;
  const lossesBy = async (folder: string | undefined): Promise<readonly (readonly number[])[]> => {
    onProgress(`measuring ${folder ?? 'the base model alone'} ...`);
    const model = await openLocalModel(base, folder, engineOptions);
    try {
      lists ??= await read(model);
      const losses = [];
      for (const examples of lists) losses.push(await lossesOf(model.engine, examples));
      return losses;
    } finally {
      await model.engine.close();
    }
  };
  const ofAdapter = await lossesBy(adapter);
  const ofReferences: (readonly (readonly number[])[])[] = [];
  for (const folder of references.length === 0 ? [undefined] : references) ofReferences.push(await lossesBy(folder));
  return ofAdapter.map((losses, list) => ({ adapter: losses, references: ofReferences.map((one) => one[list]) }));
}

/** What an adapter says of itself, if it is a version. @throws FedloraError version/malformed | version/wrong-id */
async function versionOf(
  folder: string,
): Promise<{ readonly id: string; readonly promise: RecordPromise | undefined } | undefined> {
  const bytes = await readFile(join(folder, 'manifest.json')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (bytes === undefined) return undefined;
  const { id, unit, epsilon, delta } = unsignedRecord(bytes);
  return { id, promise: recordPromise(unit, epsilon, delta) };
}

/** The report for people, at most 100 columns. */
export function auditLines(report: AuditReport): readonly string[] {
  const { promise, verdict, exposure, membership, rows } = report;
  const bits = (value: number): string => value.toFixed(2);
  const separated = ({ auc, truePositiveRate }: Separation): string =>
    `AUC ${auc.toFixed(3)}, ${percent(truePositiveRate)} found at ${percent(FALSE_POSITIVE_RATE)} false alarms`;
  const verdicts: Readonly<Record<typeof verdict, string>> = {
    contradicted: 'The promise is contradicted.',
    'not-contradicted': 'The promise is not contradicted, which does not show that it holds.',
    'nothing-promised': 'Nothing is promised that an audit could contradict.',
  };
  return [
    `Adapter     ${report.versionId ?? report.adapter}`,
    `Canaries    ${report.canaries}, ${report.included} learned from; seal ${report.seal.slice(0, 16)}`,
    `Guesses     ${report.right} of ${report.guesses} right; chance alone gives half`,
    `Epsilon     at least ${report.epsilonLowerBound.toFixed(3)} for one row, in ${percent(report.confidence)} of audits`,
    `Promised    ${promise === null ? 'nothing' : `${promise.epsilon.toPrecision(4)} for one row, at delta ${promise.delta.toPrecision(2)}`}`,
    `Exposure    ${bits(exposure.mean)} bits on average, ${bits(exposure.largest)} at most; ${bits(exposure.withoutMemory)} expected without memory, ${bits(exposure.possible)} possible`,
    `By loss     ${separated(membership.loss)}`,
    `By ratio    ${separated(membership.likelihoodRatio)}`,
    ...(rows === null
      ? []
      : [
          `Rows        ${rows.members} learned from, ${rows.others} not`,
          `  by loss   ${separated(rows.loss)}`,
          `  by ratio  ${separated(rows.likelihoodRatio)}`,
        ]),
    verdicts[verdict],
  ];
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(1))} %`;
}
