import { CopyButton } from './copy-button.js';

/** A command for a terminal, to copy. */
export function Command({ children, what }: { children: string; what: string }) {
  return (
    <span className="command">
      <code>{children}</code>
      <CopyButton value={children} what={what} />
    </span>
  );
}
