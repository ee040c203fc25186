/** The answer with which the identity provider sends the browser back: taken from the address at once, as it opens a sign-in. */

/** Takes the query of `/signed-in?…`, if that is the address, and makes it the page's own in the history entry. */
export function takeProviderAnswer(): string | null {
  const { pathname, search } = window.location;
  if (pathname !== '/signed-in') return null;
  window.history.replaceState(window.history.state, '', '/');
  return search === '' ? null : search.slice(1);
}
