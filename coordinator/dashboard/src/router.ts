import { createRouter } from '@tanstack/react-router';
import { routeTree } from './pages.js';
import { PageFailed } from './shell/page-failed.js';

export const router = createRouter({
  routeTree,
  defaultPreload: 'intent',
  defaultErrorComponent: PageFailed,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
