import type { EpsilonPoint, RunForecast } from '@fedlora/shared';
import { formatNumber } from '../../../format.js';
import { RoundChart } from '../../../run/training-charts.js';

/** Epsilon over the planned rounds, at the chosen noise and at somewhat less and more. Default export, since React loads it lazily. */
export default function EpsilonCurve({ plan }: { plan: RunForecast }) {
  const [less, more] = plan.otherNoise;
  const chosen = plan.manifest.privacy.noiseMultiplier;
  return (
    <RoundChart
      series={[
        ...(less === undefined ? [] : [seriesOf(less.noiseMultiplier, less.curve, 'var(--chart-noise)')]),
        seriesOf(chosen, plan.epsilonCurve, 'var(--chart-epsilon)'),
        ...(more === undefined ? [] : [seriesOf(more.noiseMultiplier, more.curve, 'var(--chart-clip)')]),
      ]}
      unit="ε"
      digits={2}
      startsAtZero
    />
  );
}

function seriesOf(noiseMultiplier: number, curve: readonly EpsilonPoint[], color: string) {
  const points = curve.flatMap(({ rounds, epsilon }) => (epsilon === null ? [] : [{ number: rounds, value: epsilon }]));
  return { name: `noise ${formatNumber(noiseMultiplier)}`, points, color };
}
