import { Burger, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useLive, type Connection } from '../live/live.js';
import { useSession } from '../session.js';

const connectionWords: Record<Connection, { label: string; hint: string }> = {
  connecting: { label: 'Connecting', hint: 'Opening the live connection to the coordinator.' },
  live: { label: 'Live', hint: 'Changes appear as they happen.' },
  away: {
    label: 'Not live',
    hint: 'The live connection is lost. The page keeps trying and asks every 10 seconds meanwhile.',
  },
};

interface HeaderProps {
  readonly isMenuOpen: boolean;
  readonly onMenu: () => void;
}

export function Header({ isMenuOpen, onMenu }: HeaderProps) {
  const { connection } = useLive();
  const { me, signOut } = useSession();
  const words = connectionWords[connection];
  return (
    <header className="header">
      <div className="header-inner">
        <Burger
          opened={isMenuOpen}
          onClick={onMenu}
          size="sm"
          hiddenFrom="sm"
          aria-label={isMenuOpen ? 'Close the menu' : 'Open the menu'}
          aria-expanded={isMenuOpen}
        />
        <Link to="/" className="brand-link" aria-label="Fedlora, to the overview">
          <Brand />
        </Link>
        <div className="header-end">
          <Tooltip label={words.hint} multiline maw={260} withArrow events={{ hover: true, focus: true, touch: true }}>
            <span
              className="connection"
              data-testid="connection-state"
              data-state={connection}
              role="status"
              tabIndex={0}
            >
              <i className="dot" aria-hidden />
              {words.label}
            </span>
          </Tooltip>
          <span className="header-user" title="Signed in as">
            {me.name}
          </span>
          <ColorSchemeSwitch />
          <button type="button" className="quiet-button" onClick={signOut}>
            Sign out
          </button>
        </div>
      </div>
    </header>
  );
}

export function Brand() {
  return (
    <span className="brand">
      <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden>
        <g fill="none" stroke="currentColor" strokeWidth="2.6" strokeLinecap="round">
          <path d="M7 7l10 9M7 25l10-9M17 16h9" />
        </g>
        <g fill="currentColor">
          <circle cx="7" cy="7" r="3.4" />
          <circle cx="7" cy="25" r="3.4" />
          <circle cx="26" cy="16" r="4" />
        </g>
      </svg>
      Fedlora
    </span>
  );
}

export function ColorSchemeSwitch() {
  const { setColorScheme } = useMantineColorScheme();
  const scheme = useComputedColorScheme('light');
  const other = scheme === 'light' ? 'dark' : 'light';
  return (
    <button
      type="button"
      className="quiet-button icon-button"
      data-testid="color-scheme"
      aria-label={`Use the ${other} colours`}
      onClick={() => setColorScheme(other)}
    >
      <svg
        viewBox="0 0 24 24"
        width="18"
        height="18"
        fill="none"
        stroke="currentColor"
        strokeWidth="2"
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden
      >
        {scheme === 'light' ? (
          <path d="M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z" />
        ) : (
          <path d="M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5" />
        )}
      </svg>
    </button>
  );
}
