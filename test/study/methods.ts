/** What is compared, and with which terms. One list for all data sets, so that no method is tuned where another is not. */

import type { AggregationRule, PrivacyUnit } from '@fedlora/protocol';
import type { DatasetPreset } from './presets.js';

/** How an adapter is made. */
export type Method =
  | { readonly kind: 'base' }
  | { readonly kind: 'local'; readonly organisation: number }
  | { readonly kind: 'centralised' }
  | FederatedMethod;

export interface FederatedMethod {
  readonly kind: 'federated';
  readonly rule: AggregationRule;
  readonly unit: PrivacyUnit;
  /** Of the whole run; `null`: no promise. */
  readonly epsilon: number | null;
  /** `gradient`: one step of all together a round. `steps`: several at home. */
  readonly round: 'gradient' | 'steps';
  /** Of the adapter, where it is not the usual one. */
  readonly rank?: number;
  /** How many train, where that is not the data set's usual number: its first ones. */
  readonly organisations?: number;
}

export const DELTA = 1e-5;
export const ALL_RULES: readonly AggregationRule[] = ['ffa-svd', 'alternate', 'fedavg', 'fed-sb'];

export const federated = (
  unit: PrivacyUnit,
  epsilon: number | null,
  round: FederatedMethod['round'],
  changes: Partial<Pick<FederatedMethod, 'rule' | 'rank' | 'organisations'>> = {},
): FederatedMethod => ({ kind: 'federated', rule: 'ffa-svd', unit, epsilon, round, ...changes });

export const WITHOUT_NOISE = federated('none', null, 'gradient');
export const RECORD_EPSILON_8 = federated('record', 8, 'gradient');
export const LOCAL_NOISE = federated('record-local', 8, 'steps');
export const WHOLE_CLIENTS = federated('client', 8, 'steps');

/** In the order of the table, and of computing. */
export function methodsOf({
  organisations,
  allRules,
  epsilons,
  otherThreats,
  otherRanks,
  otherNumbers,
}: DatasetPreset): readonly Method[] {
  return [
    { kind: 'base' },
    ...Array.from({ length: organisations }, (_, organisation) => ({ kind: 'local', organisation }) as const),
    { kind: 'centralised' },
    WITHOUT_NOISE,
    ...epsilons.map((epsilon) => federated('record', epsilon, 'gradient')),
    ...(otherThreats ? [LOCAL_NOISE, WHOLE_CLIENTS] : []),
    ...otherRanks.flatMap((rank) => [WITHOUT_NOISE, RECORD_EPSILON_8].map((method) => ({ ...method, rank }))),
    ...otherNumbers.flatMap((number) =>
      [WITHOUT_NOISE, RECORD_EPSILON_8].map((method) => ({ ...method, organisations: number })),
    ),
    ...(allRules ? ALL_RULES.map((rule) => federated('none', null, 'steps', { rule })) : []),
  ];
}

/** What the rows of the table are called, and the cells of the file that a study goes on from. */
export function titleOf(method: Method, organisations: readonly string[] = []): string {
  switch (method.kind) {
    case 'base':
      return 'base model';
    case 'local':
      return `local: ${organisations[method.organisation]}`;
    case 'centralised':
      return 'centralised';
    case 'federated': {
      const how = method.round === 'steps' && method.unit === 'none' ? ', steps at home' : '';
      const promise = method.epsilon === null ? 'no DP' : `${unitWords[method.unit]}, epsilon ${method.epsilon}`;
      const rank = method.rank === undefined ? '' : `, rank ${method.rank}`;
      const number = method.organisations === undefined ? '' : `, ${method.organisations} organisations`;
      return `federated ${method.rule}, ${promise}${how}${rank}${number}`;
    }
    default:
      return method satisfies never;
  }
}

const unitWords: Readonly<Record<PrivacyUnit, string>> = {
  none: 'no DP',
  record: 'record DP',
  'record-local': 'local-noise DP',
  client: 'client DP',
};
