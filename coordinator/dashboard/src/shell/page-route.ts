import { createRootRoute, createRoute, lazyRouteComponent } from '@tanstack/react-router';
import type { ComponentType } from 'react';
import { NotFound } from './not-found.js';
import type { PageEntry } from './page-entry.js';
import { Shell } from './shell.js';

interface PageOptions<Search extends object> extends PageEntry {
  /** The page's file; its default export is the page. */
  readonly load: () => Promise<{ readonly default: ComponentType }>;
  /** What of the address's query the page takes, such as filters, from whatever somebody typed there. */
  readonly search?: (typed: Record<string, unknown>) => Search;
}

export const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

/** A page at an address; `$name` in it is a parameter. */
export function page<const Path extends string, Search extends object = object>(
  path: Path,
  { load, search, ...entry }: PageOptions<Search>,
) {
  return createRoute({
    getParentRoute: () => root,
    path,
    component: lazyRouteComponent(load),
    staticData: { page: entry },
    validateSearch: search ?? (() => ({})),
  });
}
