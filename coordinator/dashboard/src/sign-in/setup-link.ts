/** The one-time token of a set-up link: taken from the address at once, so that neither history nor a screenshot keeps it. */

/** Takes a token from `#setup=…`, if there is one, and removes it from the address and the history entry. */
export function takeSetupToken(): string | null {
  const token = new URLSearchParams(window.location.hash.slice(1)).get('setup')?.trim();
  if (!token) return null;
  window.history.replaceState(window.history.state, '', window.location.pathname + window.location.search);
  return token;
}
