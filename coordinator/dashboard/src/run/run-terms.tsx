import type { Manifest, TrainingTerms } from '@fedlora/protocol';
import type { ReactNode } from 'react';
import type { RunTermsView } from '@fedlora/shared';
import { CopyButton } from '../blocks/copy-button.js';
import { Hint } from '../blocks/hint.js';
import { Section } from '../blocks/section.js';
import { formatDelta, formatDuration, shorten } from '../format.js';

interface Term {
  readonly name: string;
  readonly hint: string;
  readonly value: ReactNode;
}

/** What every participant agreed to. Nothing of it can change during the run. */
export function RunTerms({ terms }: { terms: RunTermsView }) {
  const { manifest, manifestHash, members } = terms;
  return (
    <Section
      testId="run-terms"
      title="Terms"
      aside={
        <span className="inline">
          <Hint text="SHA-256 of the signed manifest, which holds these terms. Every key of every round depends on it: `fedlora status` shows the same at each organisation.">
            manifest
          </Hint>
          <code title={manifestHash}>{shorten(manifestHash)}</code>
          <CopyButton value={manifestHash} what="the manifest’s hash" />
        </span>
      }
    >
      <dl className="terms">
        {[...termsOf(manifest), membersTerm(members)].map(({ name, hint, value }) => (
          <div key={name} className="term">
            <dt>
              <Hint text={hint}>{name}</Hint>
            </dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <details className="raw">
        <summary>The manifest as JSON</summary>
        <pre tabIndex={0}>{JSON.stringify(manifest, null, 2)}</pre>
      </details>
    </Section>
  );
}

function termsOf({ base, adapter, data, training, privacy, aggregation, server, encoding, metrics }: Manifest): Term[] {
  return [
    {
      name: 'Base model',
      hint: `Known to everyone by the SHA-256 over its files: ${base.digest}`,
      value: base.name,
    },
    {
      name: 'Adapter',
      hint: 'How rounds change the adapter, its rank r, the alpha that scales it, and how many linear modules it adapts.',
      value: `${adapter.rule}, r ${adapter.r}, alpha ${adapter.loraAlpha}, ${adapter.modules.length} modules (${adapter.targetModules.join(', ')})`,
    },
    {
      name: 'Privacy',
      hint: 'What one unit of protection is, the standard deviation of the noise over the sensitivity, what each unit is clipped to, and the remainder delta.',
      value:
        privacy.unit === 'none' ? (
          <strong className="bad">no differential privacy</strong>
        ) : (
          `unit ${privacy.unit}, noise ${privacy.noiseMultiplier} × sensitivity, clip ${privacy.l2Bound}, δ = ${formatDelta(privacy.delta)}`
        ),
    },
    {
      name: 'Collusion',
      hint: 'Participants that may collude with the coordinator and with each other without learning more than the sum, and the fewest contributions that any readable sum has.',
      value: `up to ${privacy.assumedColluders}; at least ${privacy.minimumContributors} contributions in a sum`,
    },
    { name: 'Training', hint: 'What each organisation does in one round.', value: trainingText(training) },
    {
      name: 'Data',
      hint: 'Format of the rows, and tokens after which they are cut.',
      value: `${data.format}, up to ${data.maximumLength.toLocaleString('en')} tokens`,
    },
    {
      name: 'Measured',
      hint: 'What organisations report beside the update: inside the masked sum, under its noise.',
      value:
        [
          metrics.evaluation && `held-out rows (${100 * metrics.evaluation.fraction} %)`,
          metrics.clipping && `within the clip (wanted ${100 * metrics.clipping.quantile} %)`,
        ]
          .filter(Boolean)
          .join(', ') || 'training loss only',
    },
    {
      name: 'Server optimizer',
      hint: 'What the coordinator makes of the mean update. It works on the noised sum and spends no privacy.',
      value: `${server.kind}, learning rate ${server.learningRate} falling to ${server.learningRate * server.finalLearningRateFraction}`,
    },
    {
      name: 'Secure aggregation',
      hint: 'Participants that every phase needs, the size of the ring in bits, and integer steps per unit of the update.',
      value: `threshold ${aggregation.threshold}, ring 2^${encoding.ringBits}, ${encoding.stepsPerUnit.toLocaleString('en')} steps per unit`,
    },
    {
      name: 'Deadlines',
      hint: 'How long each phase may last. Who has not answered by then is out of the round.',
      value: Object.entries(aggregation.deadlinesMs)
        .map(([phase, durationMs]) => `${phase} ${formatDuration(durationMs)}`)
        .join(', '),
    },
  ];
}

function membersTerm(members: RunTermsView['members']): Term {
  return {
    name: 'Members',
    hint: 'Organisations of the roster, which is fixed with the terms; each is known by its identity key.',
    value: members.map(({ name }) => name).join(', '),
  };
}

function trainingText(training: TrainingTerms): string {
  switch (training.kind) {
    case 'record-step':
      return `one DP-SGD step over about ${training.expectedRecords} records of all together (rate ${Number(training.samplingRate.toPrecision(3))}, at most ${training.maximumRecords} of one)`;
    case 'local-record-steps':
      return `${training.steps} DP-SGD steps of ${training.optimizer} over about ${training.expectedRecords} records each, learning rate ${training.learningRate}`;
    case 'local-steps':
      return `${training.steps} steps over batches of ${training.batchSize}, learning rate ${training.learningRate}`;
    default:
      return training satisfies never;
  }
}
