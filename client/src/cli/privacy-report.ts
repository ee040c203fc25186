/** What a data set has spent and has left, for `fedlora privacy`. */

import { fingerprint, Spending } from '@fedlora/protocol';
import { readConfig } from '../config/client-config.js';
import type { Home } from '../config/home.js';
import { ledgerKeys } from '../config/ledger-keys.js';
import { readPolicy } from '../config/policy-file.js';
import { readAccount, type ReadAccount } from '../storage/account.js';
import type { KeyChange, LedgerEntry } from '../storage/ledger-chain.js';

export interface LedgerReport {
  readonly dataset: string;
  /** What epsilon protects. */
  readonly unit: 'record' | 'client';
  /** Spent in all; `null` when no bound can be given. */
  readonly epsilon: number | null;
  /** At this delta: the smallest that any round used. */
  readonly delta: number | null;
  /** The owner's cap. */
  readonly cap: number;
  /** How many more rounds like the last one stay under the cap; `null` without a last one. */
  readonly roundsLeft: number | null;
  readonly entries: readonly (LedgerEntry & { readonly epsilonAfter: number | null })[];
  readonly keyChanges: readonly KeyChange[];
  /** Other data sets, by name, that had records of this one: their charges are among the entries. */
  readonly inheritedFrom: readonly string[];
  /** The organisation's other data sets, by name, whose charges count since the whole organisation is protected. */
  readonly countedBesides: readonly string[];
}

/** All that counts for a data set, checked; nothing where none was ever written. @throws FedloraError ledger/... | identity/... */
export async function readCharges(home: Home, dataset: string, unrelated: readonly string[]): Promise<ReadAccount> {
  return readAccount(home, dataset, unrelated, await ledgerKeys(home));
}

/** Reads and checks the ledger. @throws FedloraError ledger/tampered | ledger/key-changed | client/not-enrolled | ... */
export async function ledgerReport(
  home: Home,
  name: string | undefined,
  environment: NodeJS.ProcessEnv,
): Promise<LedgerReport> {
  const dataset = name ?? (await readConfig(home.config, environment)).config.dataset.name;
  const { terms } = await readPolicy(home.policy);
  const account = await readCharges(home, dataset, terms.unrelatedDatasets);
  const { charges: entries, keyChanges, inheritedFrom } = account;
  const last = entries.at(-1);
  const unit = entries.length > 0 && entries.every((entry) => entry.unit === 'client') ? 'client' : 'record';
  const besides = unit === 'client' ? account.elsewhere : [];
  const delta = entries.length === 0 ? null : Math.min(...[...besides, ...entries].map((entry) => entry.delta));
  const spending = Spending.of(besides);
  const shown = entries.map((entry) => {
    spending.add(entry);
    return { ...entry, epsilonAfter: delta === null ? null : finite(spending.epsilon(unit, delta)) };
  });
  return {
    dataset,
    unit,
    epsilon: delta === null ? 0 : finite(spending.epsilon(unit, delta)),
    delta,
    cap: terms.epsilonCap,
    roundsLeft: last === undefined || delta === null ? null : roundsLeft(spending, unit, delta, last, terms.epsilonCap),
    entries: shown,
    keyChanges,
    inheritedFrom,
    countedBesides: [...new Set(besides.map((entry) => entry.dataset))],
  };
}

/** Lines for a person. */
export function printLedger(report: LedgerReport): string[] {
  const { entries, dataset, cap, unit, inheritedFrom, countedBesides } = report;
  if (entries.length === 0) return [`Data set "${dataset}" has spent nothing. Cap: epsilon ${cap}.`];
  const lines = [
    `Data set "${dataset}", protecting ${unit === 'record' ? 'each record' : 'the organisation as a whole'}:`,
    '',
  ];
  if (inheritedFrom.length > 0)
    lines.push(
      `Some of its records were in ${inheritedFrom.map((name) => `"${name}"`).join(', ')} before: what was spent there counts, and stands first.`,
      '',
    );
  if (countedBesides.length > 0)
    lines.push(
      `What ${countedBesides.map((name) => `"${name}"`).join(', ')} spent counts as well: it is of the same organisation.`,
      '',
    );
  lines.push(
    '  when                 round                                     noise   sampled   steps   epsilon so far',
  );
  const changes = [...report.keyChanges];
  for (const entry of entries) {
    const isOwn = entry.dataset === dataset;
    while (isOwn && changes.length > 0 && changes[0].sequence < entry.sequence)
      lines.push(printKeyChange(changes.shift()!)); // Safe: not empty
    const when = printTime(entry.at);
    const noise = entry.unit === 'none' ? 'none' : entry.noiseMultiplier.toPrecision(4);
    const after = entry.epsilonAfter === null ? 'no bound' : entry.epsilonAfter.toFixed(4);
    lines.push(
      `  ${when}  ${entry.roundId.padEnd(40)}  ${noise.padEnd(6)}  ${entry.samplingRate.toPrecision(4).padEnd(8)}  ${String(entry.steps).padEnd(6)}  ${after}`,
    );
  }
  lines.push(...changes.map(printKeyChange), '');
  lines.push(
    `spent  ${report.epsilon === null ? 'no bound: a round without differential privacy is among them' : `epsilon ${report.epsilon.toFixed(4)} at delta ${report.delta}`}`,
  );
  lines.push(`cap    epsilon ${cap} (policy.yaml)`);
  if (report.roundsLeft !== null) {
    const left = report.epsilon === null ? 0 : Math.max(0, cap - report.epsilon);
    const rounds = `${report.roundsLeft} more ${report.roundsLeft === 1 ? 'round' : 'rounds'} like the last`;
    lines.push(`left   epsilon ${left.toFixed(4)}: ${rounds}`);
  }
  return lines;
}

function printKeyChange({ at, from, to }: KeyChange): string {
  return `  ${printTime(at)}  (key changed: ${fingerprint(from)} to ${fingerprint(to)})`;
}

function printTime(at: number): string {
  return new Date(at).toISOString().slice(0, 19).replace('T', ' ');
}

/** Doubles, then halves: the accountant is asked about forty times, whatever the answer. */
function roundsLeft(
  spending: Spending,
  unit: 'record' | 'client',
  delta: number,
  last: LedgerEntry,
  cap: number,
): number {
  const fits = (rounds: number): boolean =>
    spending.epsilon(unit, delta, { ...last, steps: last.steps * rounds }) <= cap;
  if (!fits(1)) return 0;
  let low = 1;
  while (low < 1e6 && fits(low * 2)) low *= 2;
  let high = low * 2;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
