/** What the tables of a study show, in sentences that are derived from the numbers. */

import {
  ALL_RULES,
  federated,
  LOCAL_NOISE,
  RECORD_EPSILON_8,
  titleOf,
  WHOLE_CLIENTS,
  WITHOUT_NOISE,
  type Method,
} from './methods.js';
import type { MethodSummary, NumberSummary, Spread } from './summary.js';

/** What the table of a data set shows, as far as its methods are there. */
export function findings(methods: readonly MethodSummary[]): readonly string[] {
  const find = (method: Method): MethodSummary | undefined => methods.find(({ title }) => title === titleOf(method));
  const locals = methods.filter(({ title }) => title.startsWith('local: '));
  const base = find({ kind: 'base' });
  const record = find(RECORD_EPSILON_8);
  const without = find(WITHOUT_NOISE);
  return [
    ...aloneFindings(locals, record, without),
    ...rankedFindings(locals, record, base),
    ...(without === undefined ? [] : epsilonFindings(methods, without, base)),
    ...threatFindings(record, find(LOCAL_NOISE), find(WHOLE_CLIENTS)),
    ...ruleFindings(ALL_RULES.flatMap((rule) => find(federated('none', null, 'steps', { rule })) ?? [])),
    ...rankFindings(methods),
    ...(base === undefined ? [] : hurtFindings(methods, base, bestOf(locals))),
  ];
}

/** What more and fewer organisations show; nothing where one number is there. */
export function numberFindings(numbers: readonly NumberSummary[]): readonly string[] {
  const costs = numbers.flatMap(({ organisations, withoutNoise, record }) =>
    withoutNoise === undefined || record === undefined
      ? []
      : {
          organisations,
          loss: record.macroLoss.mean - withoutNoise.macroLoss.mean,
          share: worth(withoutNoise) - worth(record),
          isRanked: record.macroRanked !== undefined,
        },
  );
  if (costs.length < 2) return [];
  const [fewest] = costs;
  const most = costs[costs.length - 1];
  const verdict =
    most.loss >= fewest.loss
      ? '**here more organisations do not make the same epsilon cheaper**'
      : costs.every(({ share }, i) => i === 0 || share < costs[i - 1].share)
        ? 'more organisations make the same epsilon cheaper'
        : 'more organisations make the same epsilon cheaper in loss, and not surely in labels';
  const each = costs.map(({ organisations, loss, share, isRanked }) => {
    const labels = isRanked ? ` and ${(100 * share).toFixed(1)} points of ranked labels` : '';
    return `${loss.toFixed(3)} nats${labels} with ${organisations}`;
  });
  return [`Noise for epsilon 8 costs ${listed(each)} organisations: ${verdict}.`];
}

/** Against every organisation alone. */
function aloneFindings(
  locals: readonly MethodSummary[],
  record: MethodSummary | undefined,
  without: MethodSummary | undefined,
): readonly string[] {
  if (locals.length === 0 || record === undefined) return [];
  const best = leastLoss(locals);
  const accurate = locals.reduce((most, one) => (one.macroAccuracy.mean > most.macroAccuracy.mean ? one : most));
  const isReached = record.macroAccuracy.mean > accurate.macroAccuracy.mean;
  const isNoise = without === undefined || without.macroAccuracy.mean > accurate.macroAccuracy.mean;
  const verdict = isReached
    ? 'which knows its own rows only'
    : `which it does not reach${isNoise ? ': here DP hurts' : ', nor do the same rounds without noise: they are too few for whole answers'}`;
  return [
    `Record DP at epsilon 8 is ${record.macroLoss.mean < best.macroLoss.mean ? '**better in loss than every local model**' : '**not better in loss than the best local model**'}: ${nats(record)} against ${nats(best)} of the best (${best.title.slice(7)}).`,
    `In exact answers it has ${points(record.macroAccuracy.mean)} against ${points(accurate.macroAccuracy.mean)} of the best local model (${accurate.title.slice(7)}), ${verdict}.`,
  ];
}

/** What ranked labels show, where labels were ranked. */
function rankedFindings(
  locals: readonly MethodSummary[],
  record: MethodSummary | undefined,
  base: MethodSummary | undefined,
): readonly string[] {
  const ranked = locals.flatMap(({ title, macroRanked }) => (macroRanked ? { title, share: macroRanked.mean } : []));
  if (ranked.length === 0 || record?.macroRanked === undefined || record.ranked === undefined) return [];
  const best = ranked.reduce((most, one) => (one.share > most.share ? one : most));
  const share = record.macroRanked.mean;
  const verdict = share > best.share ? '**above every local model**' : '**not above the best local model**';
  const lines = [
    `In ranked labels record DP at epsilon 8 is ${verdict}: ${points(share)} against ${points(best.share)} of the best (${best.title.slice(7)}).`,
  ];
  // A local model is its own organisation's at the same place, if none is missing.
  const own = locals.flatMap(({ ranked: shares }, i) => shares?.[i] ?? []);
  if (own.length === record.ranked.length) {
    const atHome = own.reduce((sum, one) => sum + one, 0) / own.length;
    lines.push(
      `Asked by its own organisation only, a local model ranks ${points(atHome)} right on average, where record DP at epsilon 8 ranks ${points(share)}: ${atHome > share ? 'who is never asked about anything but its own matters is better off alone' : 'even there training together is no loss'}.`,
    );
  }
  if (base?.macroRanked !== undefined) {
    const before = base.macroRanked;
    lines.push(
      share > before.mean
        ? `The base model alone ranks ${points(before.mean)} right: the private rows add ${(100 * (share - before.mean)).toFixed(1)} points${isWithinSpread(record.macroRanked, before) ? ', which is no more than seeds differ by' : ''}.`
        : `**In ranked labels it is no better than the base model**, which has ${points(before.mean)}: the private rows add nothing under this noise.`,
    );
  }
  return lines;
}

/** What each epsilon costs against the same rounds without noise, and how much of their gain it leaves. */
function epsilonFindings(
  methods: readonly MethodSummary[],
  without: MethodSummary,
  base: MethodSummary | undefined,
): readonly string[] {
  const noised = methods.flatMap((method) => {
    const [, epsilon] = /^federated ffa-svd, record DP, epsilon ([\d.]+)$/.exec(method.title) ?? [];
    return epsilon === undefined ? [] : { epsilon, method };
  });
  if (noised.length === 0) return [];
  const costs = noised.map(({ epsilon, method }) => {
    const loss = `${(method.macroLoss.mean - without.macroLoss.mean).toFixed(3)} nats`;
    const { macroRanked } = method;
    const isRanked = macroRanked !== undefined && without.macroRanked !== undefined;
    const labels = isRanked
      ? ` and ${(100 * (without.macroRanked.mean - macroRanked.mean)).toFixed(1)} points of ranked labels`
      : '';
    return `${loss}${labels} at epsilon ${epsilon}`;
  });
  const lines = [`Noise costs, against the same rounds without: ${listed(costs)}.`];
  const gain = base === undefined ? 0 : worth(without) - worth(base);
  if (base !== undefined && gain > 0) {
    const kept = noised.map(({ epsilon, method }) => {
      const share = (worth(method) - worth(base)) / gain;
      return `epsilon ${epsilon} keeps ${share > 0 ? `${Math.round(100 * share)} %` : 'nothing'}`;
    });
    const what =
      without.macroRanked === undefined
        ? `${gain.toFixed(3)} nats`
        : `${(100 * gain).toFixed(1)} points of ranked labels`;
    lines.push(`Of the ${what} that training together without noise adds to the base model, ${listed(kept)}.`);
  }
  return lines;
}

function threatFindings(
  record: MethodSummary | undefined,
  localNoise: MethodSummary | undefined,
  wholeClients: MethodSummary | undefined,
): readonly string[] {
  if (record === undefined) return [];
  const others = [
    [localNoise, 'Noise of every organisation for itself'],
    [wholeClients, 'Hiding a whole organisation'],
  ] as const;
  return others.flatMap(([other, name]) => {
    if (other === undefined) return [];
    const more = other.macroLoss.mean - record.macroLoss.mean;
    return `${name} has a loss of ${nats(other)} at the same epsilon, ${Math.abs(more).toFixed(3)} nats ${more > 0 ? 'more' : 'less'}.`;
  });
}

/** Aggregation rules against each other; nothing where one is there. */
function ruleFindings(rules: readonly MethodSummary[]): readonly string[] {
  if (rules.length < 2) return [];
  const sorted = [...rules].sort((one, other) => one.macroLoss.mean - other.macroLoss.mean);
  const [best, ...rest] = sorted.map((one) => `${/^federated ([\w-]+)/.exec(one.title)?.[1]} (${nats(one)})`);
  return [`Of the rules, with steps at home and without noise, ${best} has the least loss, then ${listed(rest)}.`];
}

/** Other ranks against the usual one, by promise. */
function rankFindings(methods: readonly MethodSummary[]): readonly string[] {
  return [
    { usual: WITHOUT_NOISE, promise: 'without noise' },
    { usual: RECORD_EPSILON_8, promise: 'under record DP at epsilon 8' },
  ].flatMap(({ usual, promise }) => {
    const title = titleOf(usual);
    const others = methods.filter((method) => method.title.startsWith(`${title}, rank `));
    const own = methods.filter((method) => method.title === title);
    if (others.length === 0 || own.length === 0) return [];
    const losses = [...own, ...others].map(
      (method) =>
        `${nats(method)} ${method === own[0] ? 'with the usual rank' : `with${method.title.slice(title.length + 1)}`}`,
    );
    return [`The loss ${promise} is ${listed(losses)}.`];
  });
}

/** Where DP hurts: what is no better than not training at all, or than the best organisation alone. */
function hurtFindings(
  methods: readonly MethodSummary[],
  base: MethodSummary,
  best: MethodSummary | undefined,
): readonly string[] {
  return methods.flatMap((method) => {
    if (!method.title.includes('DP, epsilon')) return [];
    if (method.macroLoss.mean >= base.macroLoss.mean)
      return `**${method.title} is no better than the base model**, ${nats(method)} against ${nats(base)}: so few rows and organisations drown in this noise.`;
    // Of record DP at epsilon 8 it is said above.
    const isSaid = method.title === titleOf(RECORD_EPSILON_8);
    const [own, before, alone] = [method, base, best].map((one) => one?.macroRanked?.mean);
    if (isSaid || own === undefined) return [];
    if (before !== undefined && own <= before)
      return `**${method.title} ranks ${points(own)} right, where the base model ranks ${points(before)}**: better in loss only.`;
    if (alone !== undefined && own <= alone)
      return `**${method.title} ranks ${points(own)} right, where the best local model ranks ${points(alone)}**: at this price an organisation is better off alone.`;
    return [];
  });
}

/** More is better: the share of ranked labels that are right, or where none are ranked less loss. */
function worth({ macroRanked, macroLoss }: MethodSummary): number {
  return macroRanked?.mean ?? -macroLoss.mean;
}

/** The one that is worth most; nothing of none. */
export function bestOf(methods: readonly MethodSummary[]): MethodSummary | undefined {
  return methods.reduce<MethodSummary | undefined>(
    (most, one) => (most === undefined || worth(one) > worth(most) ? one : most),
    undefined,
  );
}

function isWithinSpread(one: Spread, other: Spread): boolean {
  return Math.abs(one.mean - other.mean) <= Math.hypot(one.stddev, other.stddev);
}

function leastLoss(methods: readonly MethodSummary[]): MethodSummary {
  return methods.reduce((least, one) => (one.macroLoss.mean < least.macroLoss.mean ? one : least));
}

function nats({ macroLoss }: MethodSummary): string {
  return macroLoss.mean.toFixed(3);
}

function listed(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items[items.length - 1]}`;
}

export function points(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
