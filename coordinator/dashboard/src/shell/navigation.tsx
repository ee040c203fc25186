import IconApi from '@tabler/icons-react/icons/IconApi';
import IconBook from '@tabler/icons-react/icons/IconBook';
import { Link, useRouter, type LinkProps } from '@tanstack/react-router';
import { mayAll, useSession } from '../session.js';
import { navigationGroups, type PageEntry } from './page-entry.js';

interface Item {
  readonly path: LinkProps['to'];
  readonly entry: PageEntry;
}

/** The pages that the user may see. */
export function Navigation() {
  const { me } = useSession();
  const router = useRouter();
  const items = Object.values(router.routesById).flatMap((route): Item[] => {
    const entry = route.options.staticData?.page;
    return entry !== undefined && mayAll(me, entry.permissions) ? [{ path: route.fullPath, entry }] : [];
  });
  return (
    <nav className="navigation" aria-label="Pages">
      {navigationGroups.map((group) => (
        <Group key={group} title={group} items={items.filter(({ entry }) => entry.navigation?.group === group)} />
      ))}
      <a className="navigation-link" href="/docs" target="_blank" rel="noreferrer">
        <IconBook size={18} />
        Documentation
      </a>
      <a className="navigation-link" href="/api/v1/docs" target="_blank" rel="noreferrer">
        <IconApi size={18} />
        API documents
      </a>
    </nav>
  );
}

function Group({ title, items }: { title: string; items: readonly Item[] }) {
  if (items.length === 0) return null;
  return (
    <section aria-label={title}>
      <span className="navigation-title" aria-hidden>
        {title}
      </span>
      <ul>
        {items.map(({ path, entry: { title: name, navigation } }) => (
          <li key={path}>
            <Link to={path} activeOptions={{ exact: path === '/' }} className="navigation-link">
              {navigation !== undefined && <navigation.icon size={18} />}
              {name}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  );
}
