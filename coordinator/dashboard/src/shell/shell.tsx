import { Drawer } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Outlet, useMatches, useRouter } from '@tanstack/react-router';
import { useEffect } from 'react';
import { mayAll, useSession } from '../session.js';
import { Forbidden } from './forbidden.js';
import { Header } from './header.js';
import { Navigation } from './navigation.js';
import { OfflineBanner } from './offline-banner.js';

const MAIN = 'main';

/** What stands around every page. */
export function Shell() {
  const [isMenuOpen, menu] = useDisclosure(false);
  useFocusOnNavigation(menu.close);
  return (
    <>
      <a className="skip-link" href={`#${MAIN}`} onClick={skipToMain}>
        Skip to the content
      </a>
      <Header isMenuOpen={isMenuOpen} onMenu={menu.toggle} />
      <OfflineBanner />
      <div className="shell">
        <div className="sidebar">
          <Navigation />
        </div>
        <Drawer opened={isMenuOpen} onClose={menu.close} size={280} title="Menu" hiddenFrom="sm" returnFocus>
          <Navigation />
        </Drawer>
        <main id={MAIN} tabIndex={-1}>
          <PermittedPage />
        </main>
      </div>
    </>
  );
}

function PermittedPage() {
  const { me } = useSession();
  const entry = useMatches({ select: (matches) => matches.at(-1)?.staticData.page });
  if (entry === undefined || mayAll(me, entry.permissions)) return <Outlet />;
  const missing = entry.permissions.filter((permission) => !me.permissions.includes(permission));
  return <Forbidden title={entry.title} missing={missing} />;
}

/** The fragment stays out of the address, where it would become a step of the history. */
function skipToMain(event: { preventDefault: () => void }): void {
  event.preventDefault();
  document.getElementById(MAIN)?.focus();
}

/** A new page begins at its title, for readers of the screen and for the keyboard, as a loaded page would. */
function useFocusOnNavigation(onNavigated: () => void): void {
  const router = useRouter();
  useEffect(
    () =>
      router.subscribe('onRendered', ({ pathChanged, fromLocation }) => {
        if (!pathChanged || fromLocation === undefined) return;
        onNavigated();
        const title = document.querySelector<HTMLElement>(`#${MAIN} h1`);
        title?.setAttribute('tabindex', '-1');
        (title ?? document.getElementById(MAIN))?.focus({ preventScroll: true });
      }),
    [router, onNavigated],
  );
}
