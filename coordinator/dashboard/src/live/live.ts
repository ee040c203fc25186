/** Values that stay fresh: asked for once, then kept by live events, and asked for again now and then while there are none. */

import {
  useQuery,
  useQueryClient,
  type keepPreviousData,
  type QueryKey,
  type UseQueryResult,
} from '@tanstack/react-query';
import { createContext, useContext, useEffect } from 'react';
import { isRefusal } from '../api.js';
import { LiveFeed, type LiveEvent } from './live-feed.js';

const REFETCH_WHILE_LIVE_MS = 300_000;
const REFETCH_WHILE_AWAY_MS = 10_000;

export type Connection = 'connecting' | 'live' | 'away';

export interface Live {
  readonly connection: Connection;
  /** When the live connection was lost, by our clock. */
  readonly awaySince: number | null;
  readonly feed: LiveFeed;
}

export const LiveContext = createContext<Live>({ connection: 'connecting', awaySince: null, feed: new LiveFeed() });

export function useLive(): Live {
  return useContext(LiveContext);
}

interface LiveQuery<Value> {
  readonly queryKey: QueryKey;
  readonly fetch: () => Promise<Value>;
  /** Puts an event into the value; the same value, if it is about something else. Outside of components: its identity counts. */
  readonly merge: (value: Value, event: LiveEvent) => Value;
  /** What to show while a key that was not asked for before is. */
  readonly placeholderData?: typeof keepPreviousData;
}

export function useLiveQuery<Value>(options: LiveQuery<Value>): UseQueryResult<Value> {
  const { queryKey, fetch, merge, placeholderData } = options;
  const client = useQueryClient();
  const { connection, feed } = useLive();
  const query = useQuery({
    queryKey,
    queryFn: async () => {
      const mark = feed.mark();
      const fetched = await fetch();
      return feed.since(mark).reduce(merge, fetched);
    },
    retry: (failures, error) => !isRefusal(error) && failures < 2,
    refetchInterval: connection === 'live' ? REFETCH_WHILE_LIVE_MS : REFETCH_WHILE_AWAY_MS,
    refetchIntervalInBackground: true,
    // Events were not heard while nothing that shows the value was there.
    staleTime: 0,
    ...(placeholderData === undefined ? {} : { placeholderData }),
  });
  const keyText = JSON.stringify(queryKey);
  useEffect(
    () =>
      feed.listen((event) => {
        const key = JSON.parse(keyText) as QueryKey;
        client.setQueryData<Value>(key, (value) => value && merge(value, event));
      }),
    [client, feed, keyText, merge],
  );
  return query;
}
