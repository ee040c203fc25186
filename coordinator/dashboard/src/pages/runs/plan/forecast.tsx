import { lazy, Suspense } from 'react';
import type { CapForecast, MemoryForecast, RunForecast } from '@fedlora/shared';
import { Fact, Small } from '../../../blocks/fact.js';
import { count, formatBytes, formatNumber } from '../../../format.js';
import { DeclaredBudgets } from './declared-budgets.js';

const EpsilonCurve = lazy(() => import('./epsilon-curve.js'));

/** What the description would become. */
export function Forecast({ plan }: { plan: RunForecast }) {
  const { noise, epsilonCurve, members } = plan;
  return (
    <div data-testid="forecast">
      <dl className="facts facts-plan">
        <Fact
          label="Dropouts survived"
          hint={`Of ${members.length} members: ${plan.threshold} must answer every phase, and a sum has at least ${plan.minimumContributors} contributions.`}
        >
          {plan.dropoutsSurvived} of {members.length}
          <Small>threshold {plan.threshold}</Small>
        </Fact>
        <Fact
          label="Sent by each client"
          hint="Masked words in the longest round, and in all planned rounds. Other messages are small."
        >
          {formatBytes(plan.bytesUpPerRound)} a round
          <Small>{formatBytes(plan.bytesUpInAll)} in all</Small>
        </Fact>
        <Fact
          label="Noise to signal"
          hint="Norm of the noise over the longest that the expected units can sum to, when every member takes part: a ratio without unit. Really it is more, as units do not all agree."
        >
          {noise === null ? 'no noise in the sum' : `at least ${formatNumber(noise.leastNoiseToSignal)}`}
          {noise !== null && <Small>{formatNumber(noise.perCoordinate, 4)} of the clip per value</Small>}
        </Fact>
        <Fact
          label="Epsilon at the end"
          hint="Privacy spent after all planned rounds, without unit: smaller is more private."
        >
          {epsilonCurve.length === 0 ? (
            <strong className="bad">no differential privacy</strong>
          ) : (
            `ε ${formatNumber(epsilonCurve.at(-1)?.epsilon ?? null)}`
          )}
        </Fact>
        <Memory memory={plan.memory} />
        {plan.caps.map((cap) => (
          <Cap key={cap.epsilon} cap={cap} rounds={plan.manifest.rounds} />
        ))}
      </dl>
      {epsilonCurve.length > 0 && <DeclaredBudgets plan={plan} />}
      {epsilonCurve.length > 0 && (
        <Suspense fallback={null}>
          <EpsilonCurve plan={plan} />
        </Suspense>
      )}
    </div>
  );
}

function Cap({ cap, rounds }: { cap: CapForecast; rounds: number }) {
  return (
    <Fact
      label={`Within a cap of ε ${cap.epsilon}`}
      hint="Rounds that an organisation with this cap, which has spent nothing on these rows before, would take part in."
    >
      {cap.rounds === null ? 'any number of rounds' : count(cap.rounds, 'round')}
      <Small>
        {cap.noiseMultiplier === null
          ? `no noise is enough for all ${rounds}`
          : `all ${rounds} with noise multiplier ${formatNumber(cap.noiseMultiplier, 3)}`}
      </Small>
    </Fact>
  );
}

function Memory({ memory }: { memory: MemoryForecast }) {
  const { totalBytes, leastBytes, parts, countsVocabulary, rowTokens } = memory;
  return (
    <Fact
      label="Memory of each client"
      hint={
        <>
          At the fullest moment, with a large base held as NF4 and rows of {rowTokens} tokens, by the engine’s fastest
          plan. Where less is free it takes longer, and below {formatBytes(leastBytes)} it refuses.
          <dl className="memory-parts">
            {parts.map(({ kind, title, bytes }) => (
              <div key={kind}>
                <dt>{title}</dt>
                <dd>{formatBytes(bytes)}</dd>
              </div>
            ))}
          </dl>
        </>
      }
    >
      {formatBytes(totalBytes)}
      <Small>at least {formatBytes(leastBytes)}</Small>
      {!countsVocabulary && <Small>without embedding, head and logits: give the vocabulary</Small>}
    </Fact>
  );
}
