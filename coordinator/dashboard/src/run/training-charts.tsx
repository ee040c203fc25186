import {
  CartesianGrid,
  Legend,
  Line,
  LineChart,
  ReferenceLine,
  ResponsiveContainer,
  Tooltip,
  XAxis,
  YAxis,
} from 'recharts';
import type { RoundView, RunView } from '@fedlora/shared';
import { formatNumber } from '../format.js';
import { Hint } from '../blocks/hint.js';
import { Nothing, Section } from '../blocks/section.js';

interface Point {
  readonly number: number;
  readonly value: number;
}

/** One line of a chart. */
interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  readonly color: string;
}

interface TrainingChartsProps {
  /** Newest first. */
  readonly rounds: readonly RoundView[];
  readonly run: RunView;
  /** `main`: loss and privacy only. */
  readonly show?: 'main' | 'all';
}

/** Rounds of which the suggested clip is the mean: single rounds scatter. */
const SUGGESTING_ROUNDS = 10;

/** Default export, since React loads it lazily. */
export default function TrainingCharts({ rounds, run, show = 'all' }: TrainingChartsProps) {
  const base = baselineOf(rounds);
  const loss = toPoints(rounds, (round) => round.meanLoss);
  const heldOutLoss = toPoints(rounds, (round) => round.heldOutLoss);
  const epsilon = toPoints(rounds, (round) => round.epsilon);
  const isNoisy = run.unit !== 'none';
  const isMeasured = run.heldOutFraction !== null;
  const scatter = isNoisy ? ' It is read from the noised sum, so single rounds scatter: look at the trend.' : '';
  return (
    <div className="charts">
      <Section
        testId="chart-loss"
        title={isMeasured ? 'Mean loss' : 'Mean training loss'}
        aside={
          <Hint
            text={`Nats per answer token, averaged over the participants’ training data${isMeasured ? ' and, of the version that each round started from, over rows that are never trained on' : ''}.${scatter} Lower is better.`}
          >
            {isNoisy ? 'nats per token · noisy estimate' : 'nats per token'}
          </Hint>
        }
      >
        {loss.length === 0 && heldOutLoss.length === 0 ? (
          <Nothing title="No loss yet">The first finished round gives the first point.</Nothing>
        ) : (
          <RoundChart
            series={[
              { name: 'training', points: loss, color: 'var(--chart-loss)' },
              ...(isMeasured ? [{ name: 'held-out', points: heldOutLoss, color: 'var(--chart-held-out)' }] : []),
            ]}
            unit="nats per token"
            digits={3}
            limit={base?.heldOutLoss == null ? null : { value: base.heldOutLoss, label: 'base model', digits: 3 }}
          />
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
            series={[{ name: 'spent', points: epsilon, color: 'var(--chart-epsilon)' }]}
            unit="ε"
            digits={2}
            limit={run.projectedEpsilon === null ? null : { value: run.projectedEpsilon, label: 'projected' }}
            startsAtZero
          />
        )}
      </Section>
      {show === 'all' && isNoisy && <NoiseAgainstSignal rounds={rounds} />}
      {show === 'all' && run.heldOutFraction !== null && (
        <HeldOutAccuracy rounds={rounds} base={base} fraction={run.heldOutFraction} scatter={scatter} />
      )}
      {show === 'all' && run.clippingQuantile !== null && (
        <WithinClip rounds={rounds} run={run} quantile={run.clippingQuantile} scatter={scatter} />
      )}
    </div>
  );
}

/** The round that measured the untouched base model: the first, whose adapter changes nothing yet. */
function baselineOf(rounds: readonly RoundView[]): RoundView | null {
  const first = rounds.findLast(({ phase }) => phase === 'done');
  const isMeasured = first !== undefined && rounds.at(-1)?.number === 1;
  return isMeasured ? first : null;
}

function NoiseAgainstSignal({ rounds }: { rounds: readonly RoundView[] }) {
  const ratio = toPoints(rounds, (round) => round.noiseToSignal);
  return (
    <Section
      testId="chart-noise"
      title="Noise against signal"
      aside={
        <Hint text="Expected norm of the privacy noise in each round’s sum, over the norm of the sum itself: a ratio without unit. At 1 there is as much noise as signal; many rounds average it out.">
          noise ÷ sum
        </Hint>
      }
    >
      {ratio.length === 0 ? (
        <Nothing title="No sum yet">The first finished round gives the first point.</Nothing>
      ) : (
        <RoundChart
          series={[{ name: 'noise ÷ sum', points: ratio, color: 'var(--chart-noise)' }]}
          unit=""
          digits={2}
          limit={{ value: 1, label: 'equal' }}
          startsAtZero
        />
      )}
    </Section>
  );
}

function HeldOutAccuracy(props: {
  rounds: readonly RoundView[];
  base: RoundView | null;
  fraction: number;
  scatter: string;
}) {
  const base = percent(props.base?.heldOutAccuracy ?? null);
  const accuracy = toPoints(props.rounds, (round) => percent(round.heldOutAccuracy));
  return (
    <Section
      testId="chart-held-out"
      title="Exact answers on held-out rows"
      aside={
        <Hint
          text={`About ${formatNumber(percent(props.fraction), 0)} % of each organisation’s rows are never trained on. Shown is how many of them the version that a round started from answers word for word.${props.scatter}`}
        >
          % of held-out rows
        </Hint>
      }
    >
      {accuracy.length === 0 ? (
        <Nothing title="Nothing measured yet">The first finished round measures the version it started from.</Nothing>
      ) : (
        <RoundChart
          series={[{ name: 'exact', points: accuracy, color: 'var(--chart-held-out)' }]}
          unit="%"
          digits={1}
          limit={base === null ? null : { value: base, label: 'base model', digits: 1 }}
          startsAtZero
          most={100}
        />
      )}
    </Section>
  );
}

function WithinClip(props: { rounds: readonly RoundView[]; run: RunView; quantile: number; scatter: string }) {
  const { rounds, run, quantile } = props;
  const within = toPoints(rounds, (round) => percent(round.fractionWithin));
  const suggested = suggestedBoundOf(rounds);
  return (
    <Section
      testId="chart-clip"
      title="Within the clip bound"
      aside={
        suggested !== null && (
          <Hint
            text={`Bound that would bring the share nearer to the ${formatNumber(percent(quantile), 0)} % that this run wants, from its last ${SUGGESTING_ROUNDS} rounds. The bound of a run never moves by itself: put this into the description of the next one.`}
          >
            suggested for the next run: <strong>{suggested.toPrecision(3)}</strong> (now {run.l2Bound})
          </Hint>
        )
      }
    >
      {within.length === 0 ? (
        <Nothing title="Nothing counted yet">The first finished round gives the first point.</Nothing>
      ) : (
        <RoundChart
          series={[{ name: 'within', points: within, color: 'var(--chart-clip)' }]}
          unit={run.unit === 'client' ? '% of updates' : '% of gradients'}
          digits={1}
          limit={{ value: 100 * quantile, label: 'wanted' }}
          startsAtZero
          most={100}
        />
      )}
    </Section>
  );
}

function percent(fraction: number | null): number | null {
  return fraction === null ? null : 100 * fraction;
}

/** The geometric mean of the last rounds' suggestions, which is the suggestion of their mean share. `rounds`: newest first. */
function suggestedBoundOf(rounds: readonly RoundView[]): number | null {
  const last = rounds
    .flatMap(({ suggestedL2Bound: bound }) => (bound === null ? [] : [bound]))
    .slice(0, SUGGESTING_ROUNDS);
  if (last.length === 0) return null;
  return Math.exp(last.reduce((sum, bound) => sum + Math.log(bound), 0) / last.length);
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
  readonly series: readonly Series[];
  readonly unit: string;
  readonly digits: number;
  /** A dashed line across. */
  readonly limit?: { readonly value: number; readonly label: string; readonly digits?: number } | null;
  /** From zero, to the largest value or to `most`. */
  readonly startsAtZero?: boolean;
  readonly most?: number;
}

/** A round with the value of each series that has one, under the series' index. */
type Row = { readonly number: number } & Record<string, number>;

function toRows(series: readonly Series[]): Row[] {
  const rows = new Map<number, Record<string, number>>();
  series.forEach(({ points }, index) => {
    for (const { number, value } of points) rows.set(number, { ...rows.get(number), number, [index]: value });
  });
  // Safe: each was made with its number.
  return ([...rows.values()] as Row[]).sort((a, b) => a.number - b.number);
}

export function RoundChart({ series, unit, digits, limit = null, startsAtZero = false, most }: RoundChartProps) {
  const tick = { fill: 'var(--faint)', fontSize: 12 };
  const rows = toRows(series);
  return (
    <div className="chart">
      <ResponsiveContainer width="100%" height="100%">
        <LineChart data={rows} margin={{ top: 12, right: 16, bottom: 4, left: 0 }} accessibilityLayer>
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
                ? [
                    0,
                    most ??
                      (limit === null ? 'auto' : (largest: number) => Math.ceil(Math.max(largest, limit.value) * 1.05)),
                  ]
                : ['auto', 'auto']
            }
            tickFormatter={(value: number) => formatNumber(value, digits - 1)}
          />
          <Tooltip
            isAnimationActive={false}
            cursor={{ stroke: 'var(--line-strong)' }}
            content={({ active, payload }) => {
              const row = payload[0]?.payload as Row | undefined;
              if (!active || row === undefined) return null;
              return (
                <div className="chart-tip">
                  {series.map(({ name }, index) =>
                    row[index] === undefined ? null : (
                      <div key={name}>
                        round {row.number}
                        {series.length > 1 && `, ${name}`}: <strong>{formatNumber(row[index], digits)}</strong> {unit}
                      </div>
                    ),
                  )}
                </div>
              );
            }}
          />
          {series.length > 1 && (
            <Legend
              verticalAlign="top"
              height={24}
              iconType="plainline"
              itemSorter={null}
              wrapperStyle={{ fontSize: 12 }}
            />
          )}
          {limit !== null && (
            <ReferenceLine
              y={limit.value}
              stroke="var(--faint)"
              strokeDasharray="5 4"
              label={{
                value: `${limit.label} ${formatNumber(limit.value, limit.digits ?? 2)}`,
                position: 'insideTopLeft',
                fill: 'var(--faint)',
                fontSize: 12,
              }}
            />
          )}
          {series.map(({ name, points, color }, index) => (
            <Line
              key={name}
              name={name}
              dataKey={String(index)}
              stroke={color}
              strokeWidth={2}
              dot={points.length < 60 ? { r: 2, fill: color, strokeWidth: 0 } : false}
              activeDot={{ r: 4 }}
              connectNulls
              isAnimationActive={false}
            />
          ))}
        </LineChart>
      </ResponsiveContainer>
    </div>
  );
}
