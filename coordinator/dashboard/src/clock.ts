/** The present time as React state, on the coordinator's clock. */

import { createContext, useContext, useEffect, useState } from 'react';

/** Coordinator's clock minus ours, milliseconds. */
export const ClockOffset = createContext(0);

export function useServerNow(everyMs = 1_000): number {
  const offsetMs = useContext(ClockOffset);
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), everyMs);
    return () => window.clearInterval(timer);
  }, [everyMs]);
  return now + offsetMs;
}
