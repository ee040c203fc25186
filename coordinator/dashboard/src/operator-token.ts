/** Where the operator's token is kept: in this tab only, and never in the address. */

const STORAGE_KEY = 'fedlora.operator-token';

/** Takes a token from `#token=…`, if there is one, and removes it from the address and the history entry. */
export function takeTokenFromAddress(): string | null {
  const token = new URLSearchParams(window.location.hash.slice(1)).get('token')?.trim();
  if (!token) return null;
  window.history.replaceState(window.history.state, '', window.location.pathname + window.location.search);
  storeToken(token);
  return token;
}

export function readToken(): string | null {
  return window.sessionStorage.getItem(STORAGE_KEY);
}

export function storeToken(token: string): void {
  window.sessionStorage.setItem(STORAGE_KEY, token);
}

export function forgetToken(): void {
  window.sessionStorage.removeItem(STORAGE_KEY);
}
