import { useState, type ReactNode } from 'react';

interface SectionProps {
  readonly testId: string;
  readonly title: string;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
}

export function Section({ testId, title, aside, children }: SectionProps) {
  return (
    <section className="section" data-testid={testId} aria-label={title}>
      <div className="section-head">
        <h2>{title}</h2>
        {aside !== undefined && <div className="section-aside">{aside}</div>}
      </div>
      {children}
    </section>
  );
}

/** A section that most people need not open; it opens by itself when `opensFor` becomes true. */
export function FoldableSection({
  testId,
  title,
  aside,
  opensFor,
  children,
}: SectionProps & { readonly opensFor: boolean }) {
  const [isOpen, setOpen] = useState(false);
  const [openedFor, setOpenedFor] = useState(false);
  if (opensFor !== openedFor) {
    setOpenedFor(opensFor);
    if (opensFor) setOpen(true);
  }
  return (
    <details
      className="section section-foldable"
      data-testid={testId}
      open={isOpen}
      onToggle={({ currentTarget }) => setOpen(currentTarget.open)}
    >
      <summary>
        <h2>{title}</h2>
        {aside !== undefined && <span className="small">{aside}</span>}
      </summary>
      {children}
    </details>
  );
}

/** What a section shows while there is nothing to show, and what would change that. */
export function Nothing({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="nothing">
      <strong>{title}</strong>
      <p>{children}</p>
    </div>
  );
}
