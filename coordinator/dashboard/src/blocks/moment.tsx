import { serverOffset, useServerNow } from '../clock.js';
import { formatAgo, formatIn, formatTime } from '../format.js';

interface MomentProps {
  /** Unix milliseconds, by the coordinator's clock; `null`: never. */
  readonly at: number | null;
  readonly never?: string;
  /** How far away it is, or the date and time; the other is on hover. */
  readonly as?: 'distance' | 'date';
}

/** A point in time, as this machine's clock and zone show it. */
export function Moment({ at, never = 'never', as = 'distance' }: MomentProps) {
  const now = useServerNow(10_000);
  if (at === null) return <span className="faint">{never}</span>;
  const distance = at > now ? formatIn(at, now) : formatAgo(at, now);
  const date = formatTime(at - serverOffset());
  return (
    <time dateTime={new Date(at).toISOString()} title={as === 'distance' ? date : distance}>
      {as === 'distance' ? distance : date}
    </time>
  );
}
