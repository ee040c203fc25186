import { useEffect } from 'react';

/** What the tab shows: the most telling first, as tabs are narrow. */
export function useDocumentTitle(...parts: readonly (string | null | undefined | false)[]): void {
  const title = [...parts.filter(Boolean), 'Fedlora'].join(' · ');
  useEffect(() => {
    document.title = title;
  }, [title]);
}
