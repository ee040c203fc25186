/** Lists in pages: the cursor is where the page before ended, so that what comes and goes meanwhile shifts nothing. */

import { FedloraError, type Page, type PageQuery } from '@fedlora/shared';

const DEFAULT_LIMIT = 50;

/** What items are ordered by: unlike for any two of a list. */
export type Position = string | number;

/** The position that a cursor stands for. @throws FedloraError request/invalid */
export function positionOf(query: PageQuery): number | undefined;
export function positionOf(query: PageQuery, kind: 'text'): string | undefined;
export function positionOf({ cursor }: PageQuery, kind: 'text' | 'number' = 'number'): Position | undefined {
  if (cursor == null) return undefined;
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  if (kind === 'text') return text;
  const value = Number(text);
  if (text === '' || !Number.isSafeInteger(value))
    throw new FedloraError('request/invalid', 'cursor must be the nextCursor of an answer of this route.');
  return value;
}

/** A page of what `read` gives from the query's position on; it is asked for one item more, which tells whether there is another page. */
export async function pageBy<Item>(
  query: PageQuery,
  read: (limit: number) => Item[] | Promise<Item[]>,
  position: (item: Item) => Position,
): Promise<Page<Item>> {
  const limit = query.limit ?? DEFAULT_LIMIT;
  const found = await read(limit + 1);
  const items = found.slice(0, limit);
  const last = items.at(-1);
  const hasMore = found.length > limit && last !== undefined;
  return { items, nextCursor: hasMore ? Buffer.from(String(position(last))).toString('base64url') : null };
}

/** A page of a list that is small enough to be read whole, by name. */
export function pageByName<Item extends { readonly name: string }>(
  query: PageQuery,
  all: readonly Item[],
): Promise<Page<Item>> {
  const after = positionOf(query, 'text') ?? '';
  const rest = [...all].sort((a, b) => compare(a.name, b.name)).filter(({ name }) => name > after);
  return pageBy(
    query,
    (limit) => rest.slice(0, limit),
    ({ name }) => name,
  );
}

/** As `pageByName`, newest first. */
export function pageByAge<Item extends { readonly id: string; readonly createdAt: number }>(
  query: PageQuery,
  all: readonly Item[],
): Promise<Page<Item>> {
  const before = positionOf(query, 'text');
  const rest = [...all]
    .sort((a, b) => compare(ageOf(b), ageOf(a)))
    .filter((item) => before === undefined || ageOf(item) < before);
  return pageBy(query, (limit) => rest.slice(0, limit), ageOf);
}

/** Orders by time, and items of the same time by id. */
function ageOf({ id, createdAt }: { readonly id: string; readonly createdAt: number }): string {
  return `${String(createdAt).padStart(16, '0')}/${id}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
