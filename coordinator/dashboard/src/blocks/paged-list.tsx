import { Button } from '@mantine/core';
import { useInfiniteQuery, type QueryKey } from '@tanstack/react-query';
import type { Page } from '@fedlora/shared';
import { isRefusal } from '../api.js';
import type { RowsState } from './data-table.js';

export interface PagedList<Row> extends RowsState<Row> {
  readonly hasMore: boolean;
  readonly isFetchingMore: boolean;
  readonly onMore: () => void;
}

/** A list of the API, page after page. The key holds what the list depends on: a filter, say. */
export function usePagedList<Row>(
  queryKey: QueryKey,
  page: (cursor: { readonly cursor?: string }) => Promise<Page<Row>>,
): PagedList<Row> {
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam }) => page(pageParam === null ? {} : { cursor: pageParam }),
    initialPageParam: null as string | null,
    getNextPageParam: ({ nextCursor }) => nextCursor,
    retry: (failures, error) => !isRefusal(error) && failures < 2,
  });
  return {
    rows: query.data?.pages.flatMap(({ items }) => items),
    error: query.error,
    isFetching: query.isFetching,
    onRetry: () => void query.refetch(),
    hasMore: query.hasNextPage,
    isFetchingMore: query.isFetchingNextPage,
    onMore: () => void query.fetchNextPage(),
  };
}

/** Below the rows of a list that goes on. */
export function MoreButton({ list, what }: { list: Omit<PagedList<unknown>, 'rows'>; what: string }) {
  if (!list.hasMore) return null;
  return (
    <Button className="more" size="xs" variant="default" loading={list.isFetchingMore} onClick={list.onMore}>
      Show more {what}
    </Button>
  );
}
