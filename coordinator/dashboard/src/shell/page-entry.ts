import type {} from '@tanstack/react-router';
import type { ComponentType } from 'react';
import type { Permission } from '@fedlora/shared';

/** What the shell knows of a page. */
export interface PageEntry {
  /** In the navigation. */
  readonly title: string;
  /** Without all of them the page is not offered, and an address typed by hand shows why. */
  readonly permissions: readonly Permission[];
  /** Where the navigation lists it; pages without are reached from others. */
  readonly navigation?: { readonly group: NavigationGroup; readonly icon: ComponentType<{ readonly size?: number }> };
}

export const navigationGroups = ['Network', 'Access'] as const;
export type NavigationGroup = (typeof navigationGroups)[number];

declare module '@tanstack/react-router' {
  interface StaticDataRouteOption {
    page?: PageEntry;
  }
}
