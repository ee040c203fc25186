import { useQueryClient, type QueryKey } from '@tanstack/react-query';
import { useEffect } from 'react';
import { useLive } from './live.js';
import type { LiveEvent } from './live-feed.js';

/** Many events in a row, as when a round ends, are one reason to ask. */
const GATHER_MS = 500;

/** Asks again for everything under a key when something of these kinds changes: for lists of which the server knows the order. */
export function useRefetchOn(queryKey: QueryKey, ...names: readonly LiveEvent['name'][]): void {
  const client = useQueryClient();
  const { feed } = useLive();
  const about = JSON.stringify([queryKey, names]);
  useEffect(() => {
    const [key, wanted] = JSON.parse(about) as [QueryKey, LiveEvent['name'][]];
    let timer: number | undefined;
    const leave = feed.listen(({ name }) => {
      if (!wanted.includes(name) || timer !== undefined) return;
      timer = window.setTimeout(() => {
        timer = undefined;
        void client.invalidateQueries({ queryKey: key });
      }, GATHER_MS);
    });
    return () => {
      leave();
      window.clearTimeout(timer);
    };
  }, [client, feed, about]);
}
