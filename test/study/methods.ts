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
}

export const DELTA = 1e-5;
const ALL_RULES: readonly AggregationRule[] = ['ffa-svd', 'alternate', 'fedavg', 'fed-sb'];

const federated = (
  unit: PrivacyUnit,
  epsilon: number | null,
  round: FederatedMethod['round'],
  rule: AggregationRule = 'ffa-svd',
): FederatedMethod => ({ kind: 'federated', rule, unit, epsilon, round });

/** In the order of the table. */
export function methodsOf({ organisations, allRules, epsilons, otherThreats }: DatasetPreset): readonly Method[] {
  return [
    { kind: 'base' },
    ...Array.from({ length: organisations }, (_, organisation) => ({ kind: 'local', organisation }) as const),
    { kind: 'centralised' },
    federated('none', null, 'gradient'),
    ...(allRules ? ALL_RULES.map((rule) => federated('none', null, 'steps', rule)) : []),
    ...epsilons.map((epsilon) => federated('record', epsilon, 'gradient')),
    ...(otherThreats ? [federated('record-local', 8, 'steps'), federated('client', 8, 'steps')] : []),
  ];
}

/** What the rows of the table are called, and the cells of the file that a study goes on from. */
export function titleOf(method: Method, organisations: readonly string[]): string {
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
      return `federated ${method.rule}, ${promise}${how}`;
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
