import { CartesianGrid, Line, LineChart, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis } from 'recharts';
import type { RoundView, RunView } from '@fedlora/shared';
import { formatNumber } from '../format.js';
import { Hint } from '../views/hint.js';
import { Nothing, Section } from '../views/section.js';

interface Point {
  readonly number: number;
  readonly value: number;
}

interface TrainingChartsProps {
  readonly rounds: readonly RoundView[];
  readonly run: RunView;
}

/** Default export, since React loads it lazily. */
export default function TrainingCharts({ rounds, run }: TrainingChartsProps) {
  const loss = toPoints(rounds, (round) => round.meanLoss);
  const epsilon = toPoints(rounds, (round) => round.epsilon);
  const isNoisy = run.unit !== 'none';
  return (
    <div className="charts">
      <Section
        testId="chart-loss"
        title="Mean training loss"
        aside={
          <Hint
            text={`Nats per answer token, averaged over the participants’ training data${isNoisy ? '. It is read from the noised sum, so single rounds scatter: look at the trend' : ''}. Lower is better.`}
          >
            {isNoisy ? 'nats per token · noisy estimate' : 'nats per token'}
          </Hint>
        }
      >
        {loss.length === 0 ? (
          <Nothing title="No loss yet">The first finished round gives the first point.</Nothing>
        ) : (
          <RoundChart points={loss} unit="nats per token" color="var(--chart-loss)" digits={3} />
        )}
      </Section>
      <Section
        testId="chart-epsilon"
        title="Privacy spent"
        aside={
          isNoisy && (
            <Hint text="Epsilon of the whole run after each round, without unit. It never falls. The dashed line is where it ends after all planned rounds.">
              ε after each round
            </Hint>
          )
        }
      >
        {!isNoisy ? (
          <Nothing title="No differential privacy">This run makes no promise, so there is no epsilon to show.</Nothing>
        ) : epsilon.length === 0 ? (
          <Nothing title="Nothing spent yet">The first round whose sum is unmasked spends the first part.</Nothing>
        ) : (
          <RoundChart
            points={epsilon}
            unit="ε"
            color="var(--chart-epsilon)"
            digits={2}
            limit={run.projectedEpsilon}
            startsAtZero
          />
        )}
      </Section>
    </div>
  );
}

function toPoints(rounds: readonly RoundView[], read: (round: RoundView) => number | null): readonly Point[] {
  return rounds
    .flatMap((round) => {
      const value = read(round);
      return value === null ? [] : [{ number: round.number, value }];
    })
    .toReversed();
}

interface RoundChartProps {
  readonly points: readonly Point[];
  readonly unit: string;
  readonly color: string;
  readonly digits: number;
  readonly limit?: number | null;
  readonly startsAtZero?: boolean;
}

function RoundChart({ points, unit, color, digits, limit = null, startsAtZero = false }: RoundChartProps) {
  const tick = { fill: 'var(--faint)', fontSize: 12 };
  return (
    <div className="chart">
      <ResponsiveContainer width="100%" height="100%">
        <LineChart data={[...points]} margin={{ top: 12, right: 16, bottom: 4, left: 0 }} accessibilityLayer>
          <CartesianGrid stroke="var(--line)" vertical={false} />
          <XAxis
            dataKey="number"
            type="number"
            domain={['dataMin', 'dataMax']}
            allowDecimals={false}
            tick={tick}
            tickLine={false}
            stroke="var(--line-strong)"
            tickFormatter={(value: number) => `#${value}`}
            minTickGap={24}
          />
          <YAxis
            width={44}
            tick={tick}
            tickLine={false}
            axisLine={false}
            domain={
              startsAtZero
                ? [0, limit === null ? 'auto' : (most: number) => Math.ceil(Math.max(most, limit) * 1.05)]
                : ['auto', 'auto']
            }
            tickFormatter={(value: number) => formatNumber(value, digits - 1)}
          />
          <Tooltip
            isAnimationActive={false}
            cursor={{ stroke: 'var(--line-strong)' }}
            content={({ active, payload }) => {
              const point = payload[0]?.payload as Point | undefined;
              if (!active || point === undefined) return null;
              return (
                <div className="chart-tip">
                  round {point.number}: <strong>{formatNumber(point.value, digits)}</strong> {unit}
                </div>
              );
            }}
          />
          {limit !== null && (
            <ReferenceLine
              y={limit}
              stroke="var(--faint)"
              strokeDasharray="5 4"
              label={{
                value: `projected ${formatNumber(limit)}`,
                position: 'insideTopLeft',
                fill: 'var(--faint)',
                fontSize: 12,
              }}
            />
          )}
          <Line
            dataKey="value"
            stroke={color}
            strokeWidth={2}
            dot={points.length < 60 ? { r: 2, fill: color, strokeWidth: 0 } : false}
            activeDot={{ r: 4 }}
            isAnimationActive={false}
          />
        </LineChart>
      </ResponsiveContainer>
    </div>
  );
}
