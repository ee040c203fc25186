import { useQuery, useQueryClient } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { useEffect, useMemo } from 'react';
import type { MeView } from '@fedlora/shared';
import { api, isSignInOver } from './api.js';
import { LiveProvider } from './live/live-provider.js';
import { router } from './router.js';
import { SessionContext, type Session } from './session.js';

interface SignedInProps {
  readonly me: MeView;
  /** `null`: on the user's own wish. */
  readonly onSignOut: (reason: string | null) => void;
}

/** Everything behind the sign-in. Any answer that says the sign-in is over ends it. */
export function SignedIn({ me: firstMe, onSignOut }: SignedInProps) {
  const client = useQueryClient();
  const { data: me } = useQuery({ queryKey: ['me'], queryFn: () => api.me(), initialData: firstMe, staleTime: 60_000 });

  useEffect(() => {
    const onAnswer = (error: unknown): void => {
      if (isSignInOver(error)) onSignOut('Your sign-in has ended.');
    };
    const leaveQueries = client.getQueryCache().subscribe(({ query }) => onAnswer(query.state.error));
    const leaveMutations = client.getMutationCache().subscribe(({ mutation }) => onAnswer(mutation?.state.error));
    return () => {
      leaveQueries();
      leaveMutations();
    };
  }, [client, onSignOut]);

  const session = useMemo<Session>(() => ({ me, signOut: () => onSignOut(null) }), [me, onSignOut]);
  return (
    <SessionContext value={session}>
      <LiveProvider>
        <RouterProvider router={router} />
      </LiveProvider>
    </SessionContext>
  );
}
