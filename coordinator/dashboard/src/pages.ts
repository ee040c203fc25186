/**
 * Every page: its address, who may see it, and where its code is. A new page is an entry here and a file of its own under `pages/`,
 * which is loaded when it is first opened; the coordinator's README shows how.
 */

import IconLayoutDashboard from '@tabler/icons-react/icons/IconLayoutDashboard';
import { page, root } from './shell/page-route.js';

/** In the order of the navigation. */
export const routeTree = root.addChildren([
  page('/', {
    title: 'Overview',
    permissions: ['runs.read', 'organisations.read'],
    navigation: { group: 'Network', icon: IconLayoutDashboard },
    load: () => import('./pages/overview/overview-page.js'),
  }),
]);
