/** Who is signed in to this page, and what the coordinator lets them do. */

import { createContext, useContext } from 'react';
import type { MeView, Permission } from '@fedlora/shared';

export interface Session {
  readonly me: MeView;
  readonly signOut: () => void;
}

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (session === null) throw new Error('Used outside of a signed-in page.');
  return session;
}

/** Whether every one of the permissions is there: the coordinator checks too, this only hides what it would refuse. */
export function useMay(...needed: readonly Permission[]): boolean {
  return mayAll(useSession().me, needed);
}

export function mayAll({ permissions }: MeView, needed: readonly Permission[]): boolean {
  return needed.every((permission) => permissions.includes(permission));
}
