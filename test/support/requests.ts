/** Requests to a coordinator, for tests. */

import type { Page } from '@fedlora/shared';

/**
 * A JSON request, on a connection of its own: a busy test process, which is client and server at once, else sends on connections that
 * its server has just ended.
 */
export function send(
  url: string,
  method: string,
  path: string,
  token?: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(url + path, {
    method,
    headers: {
      connection: 'close',
      ...headers,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** The body of an answer that must be good. */
export async function json<Value>(response: Response): Promise<Value> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  return (text === '' ? undefined : JSON.parse(text)) as Value;
}

export async function operate<Value>(
  url: string,
  token: string,
  method: string,
  path: string,
  body?: object,
): Promise<Value> {
  return json<Value>(await send(url, method, path, token, body));
}

/** Every item of a list, page after page. */
export async function listAll<Item>(url: string, token: string, path: string): Promise<Item[]> {
  const items: Item[] = [];
  for (let cursor: string | null = ''; cursor !== null;) {
    const page: Page<Item> = await operate(url, token, 'GET', `${path}?limit=200${cursor && `&cursor=${cursor}`}`);
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  return items;
}
