import type { GateView } from '@fedlora/shared';
import { Hint } from '../../blocks/hint.js';
import { checkWords, gateWords, hints } from './version-words.js';

/** The outcome of the gate; what it rests on is on hover. */
export function GateBadge({ gate }: { gate: GateView }) {
  const { word, tone } = gateWords[gate.outcome];
  const reasons = gate.checks.filter(({ outcome }) => outcome !== 'passed');
  const text = reasons.length === 0 ? hints.gate : [...new Set(reasons.map(({ reason }) => reason))].join(' ');
  return (
    <Hint text={text} plain>
      <span className={`tag tone-${tone}`}>{word}</span>
    </Hint>
  );
}

/** Every check with its reason. */
export function GateChecks({ gate }: { gate: GateView }) {
  return (
    <ul className="gate-checks" aria-label="Checks of the release gate">
      {gate.checks.map(({ name, outcome, reason }) => {
        const { word, tone } = gateWords[outcome];
        return (
          <li key={name} data-check={name}>
            <span className={`tag tone-${tone}`}>{word}</span>
            <span>
              <strong>{checkWords[name]}.</strong> {reason}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
