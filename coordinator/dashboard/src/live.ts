/** The overview, kept fresh: one fetch, then live events, and slow fetches while the live connection is away. */

import { useQuery, useQueryClient, type UseQueryResult } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { io, type Socket } from 'socket.io-client';
import type { LiveEvents } from '@fedlora/shared';
import { fetchOverview, isRefusal, type OverviewState } from './api.js';
import { mergeOrganisation, mergeRound, mergeRun, mergeVersion, type Merge } from './merge.js';

const REFETCH_WHILE_LIVE_MS = 300_000;
const REFETCH_WHILE_AWAY_MS = 10_000;
const OVERVIEW = ['overview'];

export type Connection = 'connecting' | 'live' | 'away';

export interface LiveOverview {
  readonly query: UseQueryResult<OverviewState>;
  readonly connection: Connection;
  /** When the live connection was lost, by our clock. */
  readonly awaySince: number | null;
}

export function useLiveOverview(): LiveOverview {
  const client = useQueryClient();
  const [state, setState] = useState<{ connection: Connection; awaySince: number | null }>({
    connection: 'connecting',
    awaySince: null,
  });
  // Events that arrive while a fetch is under way: its answer may be older than they are.
  const duringFetch = useRef<Merge[] | null>(null);

  const query = useQuery({
    queryKey: OVERVIEW,
    queryFn: async () => {
      const merges: Merge[] = [];
      duringFetch.current = merges;
      try {
        const fetched = await fetchOverview();
        return merges.reduce((overview, merge) => merge(overview), fetched);
      } finally {
        if (duringFetch.current === merges) duringFetch.current = null;
      }
    },
    retry: (failures, error) => !isRefusal(error) && failures < 2,
    refetchInterval: state.connection === 'live' ? REFETCH_WHILE_LIVE_MS : REFETCH_WHILE_AWAY_MS,
    refetchIntervalInBackground: true,
    networkMode: 'always',
    staleTime: 5_000,
  });

  useEffect(() => {
    const apply = (merge: Merge): void => {
      duringFetch.current?.push(merge);
      client.setQueryData<OverviewState>(OVERVIEW, (overview) => overview && merge(overview));
    };
    const refetch = (): void => void client.invalidateQueries({ queryKey: OVERVIEW });
    const leave = (): void => setState((before) => ({ connection: 'away', awaySince: before.awaySince ?? Date.now() }));

    const socket: Socket<LiveEvents> = io('/live', { reconnectionDelayMax: 10_000 });
    let retry: number | undefined;
    socket.on('connect', () => {
      setState({ connection: 'live', awaySince: null });
      // Also the first time: what changed between the first fetch and now was told to nobody.
      refetch();
    });
    socket.on('disconnect', (reason) => {
      leave();
      // After this reason socket.io does not come back by itself.
      if (reason === 'io server disconnect') retry = window.setTimeout(() => socket.connect(), 2_000);
    });
    socket.on('connect_error', () => {
      leave();
      // The coordinator refused the hand-shake: the fetch says why, and signs out if the sign-in has ended.
      if (!socket.active) {
        refetch();
        retry = window.setTimeout(() => socket.connect(), 10_000);
      }
    });
    socket.on('organisation.changed', (value) => apply(mergeOrganisation(value)));
    socket.on('run.changed', (value) => apply(mergeRun(value)));
    socket.on('round.changed', (value) => apply(mergeRound(value)));
    socket.on('version.published', (value) => apply(mergeVersion(value)));
    return () => {
      window.clearTimeout(retry);
      socket.removeAllListeners();
      socket.disconnect();
    };
  }, [client]);

  return { query, ...state };
}
