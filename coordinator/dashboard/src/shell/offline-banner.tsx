import { useIsFetching, useQueryClient } from '@tanstack/react-query';
import { formatAgo } from '../format.js';
import { useLive } from '../live/live.js';
import { useServerNow, serverOffset } from '../clock.js';

/** That what the page shows may be old, and since when. */
export function OfflineBanner() {
  const { connection, awaySince } = useLive();
  if (connection !== 'away' || awaySince === null) return null;
  return <NotLive since={awaySince} />;
}

function NotLive({ since }: { since: number }) {
  const client = useQueryClient();
  const now = useServerNow();
  useIsFetching(); // Rendered again as answers come or fail.
  const isAnswering = !client
    .getQueryCache()
    .findAll({ type: 'active' })
    .some(({ state }) => state.status === 'error');
  return (
    <div className="offline" role="alert" data-testid="offline-banner">
      <span>
        <strong>Not live.</strong> The live connection was lost {formatAgo(since + serverOffset(), now)}.{' '}
        {isAnswering
          ? 'Values are refreshed every 10 seconds until it is back.'
          : 'The coordinator does not answer: the values below are from before.'}
      </span>
      <button type="button" className="quiet-button" onClick={() => void client.invalidateQueries()}>
        Try now
      </button>
    </div>
  );
}
