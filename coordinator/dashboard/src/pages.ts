/**
 * Every page: its address, who may see it, and where its code is. A new page is an entry here and a file of its own under `pages/`,
 * which is loaded when it is first opened; the coordinator's README shows how.
 */

import IconBuilding from '@tabler/icons-react/icons/IconBuilding';
import IconCalendar from '@tabler/icons-react/icons/IconCalendar';
import IconKey from '@tabler/icons-react/icons/IconKey';
import IconLayoutDashboard from '@tabler/icons-react/icons/IconLayoutDashboard';
import IconListDetails from '@tabler/icons-react/icons/IconListDetails';
import IconUserCircle from '@tabler/icons-react/icons/IconUserCircle';
import IconUsers from '@tabler/icons-react/icons/IconUsers';
import IconVersions from '@tabler/icons-react/icons/IconVersions';
import IconRepeat from '@tabler/icons-react/icons/IconRepeat';
import { runsSearch } from './run/status-words.js';
import { page, root } from './shell/page-route.js';

/** In the order of the navigation. */
export const routeTree = root.addChildren([
  page('/', {
    title: 'Overview',
    permissions: ['runs.read', 'organisations.read'],
    navigation: { group: 'Network', icon: IconLayoutDashboard },
    load: () => import('./pages/overview/overview-page.js'),
  }),
  page('/runs', {
    title: 'Runs',
    permissions: ['runs.read'],
    navigation: { group: 'Network', icon: IconRepeat },
    search: runsSearch,
    load: () => import('./pages/runs/runs-page.js'),
  }),
  page('/runs/plan', {
    title: 'Plan a run',
    permissions: ['runs.manage'],
    load: () => import('./pages/runs/plan-page.js'),
  }),
  page('/runs/$runId', {
    title: 'Run',
    permissions: ['runs.read'],
    load: () => import('./pages/runs/run-page.js'),
  }),
  page('/organisations', {
    title: 'Organisations',
    permissions: ['organisations.read'],
    navigation: { group: 'Network', icon: IconBuilding },
    load: () => import('./pages/organisations/organisations-page.js'),
  }),
  page('/organisations/$name', {
    title: 'Organisation',
    permissions: ['organisations.read'],
    load: () => import('./pages/organisations/organisation-page.js'),
  }),
  page('/calendar', {
    title: 'Calendar',
    permissions: ['runs.read'],
    navigation: { group: 'Network', icon: IconCalendar },
    search: (typed) => calendarSearch(typed),
    load: () => import('./pages/calendar/calendar-page.js'),
  }),
  page('/versions', {
    title: 'Versions',
    permissions: ['versions.read'],
    navigation: { group: 'Network', icon: IconVersions },
    search: ({ repository }) => (typeof repository === 'string' ? { repository } : {}) as { repository?: string },
    load: () => import('./pages/versions/versions-page.js'),
  }),
  page('/versions/compare', {
    title: 'Compare versions',
    permissions: ['versions.read'],
    search: (typed) => versionPair(typed),
    load: () => import('./pages/versions/comparison-page.js'),
  }),
  page('/versions/$id', {
    title: 'Version',
    permissions: ['versions.read'],
    load: () => import('./pages/versions/version-page.js'),
  }),
  page('/users', {
    title: 'Users',
    permissions: ['users.manage'],
    navigation: { group: 'Access', icon: IconUsers },
    load: () => import('./pages/users/users-page.js'),
  }),
  page('/tokens', {
    title: 'API tokens',
    permissions: ['tokens.manage'],
    navigation: { group: 'Access', icon: IconKey },
    load: () => import('./pages/tokens/tokens-page.js'),
  }),
  page('/audit', {
    title: 'Audit log',
    permissions: ['audit.read'],
    navigation: { group: 'Access', icon: IconListDetails },
    load: () => import('./pages/audit/audit-page.js'),
  }),
  page('/account', {
    title: 'Account',
    permissions: [],
    navigation: { group: 'Access', icon: IconUserCircle },
    load: () => import('./pages/account/account-page.js'),
  }),
]);

function versionPair({ left, right }: Record<string, unknown>): { left?: string; right?: string } {
  return { ...(typeof left === 'string' ? { left } : {}), ...(typeof right === 'string' ? { right } : {}) };
}

function calendarSearch({ view, at, run }: Record<string, unknown>): {
  view?: 'month' | 'week';
  at?: number;
  run?: string;
} {
  return {
    ...(view === 'week' ? { view } : {}),
    // What a date can be.
    ...(typeof at === 'number' && Math.abs(at) < 4e12 ? { at } : {}),
    ...(typeof run === 'string' ? { run } : {}),
  };
}
