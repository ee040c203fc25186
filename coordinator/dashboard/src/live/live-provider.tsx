/** The live connection of the whole page: what changes on the coordinator, as it changes, and whether that is heard at all. */

import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useState, type ReactNode } from 'react';
import { io, type Socket } from 'socket.io-client';
import type { LiveEvents } from '@fedlora/shared';
import { LiveContext, type Connection, type Live } from './live.js';
import { LiveFeed, type LiveEvent } from './live-feed.js';

const eventNames: readonly (keyof LiveEvents)[] = [
  'organisation.changed',
  'run.changed',
  'round.changed',
  'version.published',
  'version.changed',
  'repository.changed',
];

interface ConnectionState {
  readonly connection: Connection;
  readonly awaySince: number | null;
}

export function LiveProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [feed] = useState(() => new LiveFeed());
  const [state, setState] = useState<ConnectionState>({ connection: 'connecting', awaySince: null });

  useEffect(() => {
    const leave = (): void => setState((before) => ({ connection: 'away', awaySince: before.awaySince ?? Date.now() }));
    const socket: Socket<LiveEvents> = io('/live', { transports: ['websocket'], reconnectionDelayMax: 10_000 });
    let retry: number | undefined;
    socket.on('connect', () => {
      setState({ connection: 'live', awaySince: null });
      // Also the first time: what changed between the first fetch and now was told to nobody.
      void client.invalidateQueries();
    });
    socket.on('disconnect', (reason) => {
      leave();
      // After this reason socket.io does not come back by itself.
      if (reason === 'io server disconnect') retry = window.setTimeout(() => socket.connect(), 2_000);
    });
    socket.on('connect_error', () => {
      leave();
      // The coordinator refused the hand-shake: whoever is signed out learns so from this.
      if (!socket.active) {
        void client.invalidateQueries({ queryKey: ['me'] });
        retry = window.setTimeout(() => socket.connect(), 10_000);
      }
    });
    for (const name of eventNames) {
      // Safe: the event map gives every event exactly one value, of the type of its name.
      (socket as Socket).on(name, (value: LiveEvent['value']) => feed.tell({ name, value } as LiveEvent));
    }
    return () => {
      window.clearTimeout(retry);
      socket.removeAllListeners();
      socket.disconnect();
    };
  }, [client, feed]);

  const live = useMemo<Live>(() => ({ ...state, feed }), [state, feed]);
  return <LiveContext value={live}>{children}</LiveContext>;
}
