import type { EpsilonPoint } from '@fedlora/shared';
import { RoundChart } from '../../../run/training-charts.js';

/** Epsilon over the planned rounds. Default export, since React loads it lazily. */
export default function EpsilonCurve({ points }: { points: readonly EpsilonPoint[] }) {
  const counted = points.flatMap(({ rounds, epsilon }) =>
    epsilon === null ? [] : [{ number: rounds, value: epsilon }],
  );
  return (
    <RoundChart
      series={[{ name: 'epsilon', points: counted, color: 'var(--chart-epsilon)' }]}
      unit="ε"
      digits={2}
      startsAtZero
    />
  );
}
