import { formatDuration } from '../format.js';
import { phases } from '../phases.js';
import { Hint } from '../blocks/hint.js';

/** One round's time by phase; as long as the round, relative to the longest one shown. */
export function PhaseBar({
  durationsMs,
  longestMs,
}: {
  durationsMs: Readonly<Record<string, number>>;
  longestMs: number;
}) {
  const spent = phases.filter(({ name }) => (durationsMs[name] ?? 0) > 0);
  if (spent.length === 0) return <span className="faint">–</span>;
  return (
    <Hint
      plain
      text={spent.map(({ name }) => (
        <span key={name} className="line bar-line">
          <i className={`swatch phase-${name}`} aria-hidden />
          <span>{name}</span>
          <span>{formatDuration(durationsMs[name])}</span>
        </span>
      ))}
    >
      <span className="phase-bar">
        {spent.map(({ name }) => (
          <i key={name} className={`phase-${name}`} style={{ width: `${(100 * durationsMs[name]) / longestMs}%` }} />
        ))}
      </span>
    </Hint>
  );
}

export function PhaseLegend() {
  return (
    <ul className="legend" aria-label="Colours of the phases">
      {phases.map(({ name }) => (
        <li key={name}>
          <i className={`swatch phase-${name}`} aria-hidden />
          {name}
        </li>
      ))}
    </ul>
  );
}
