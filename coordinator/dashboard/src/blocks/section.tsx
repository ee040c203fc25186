import type { ReactNode } from 'react';

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

/** What a section shows while there is nothing to show, and what would change that. */
export function Nothing({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="nothing">
      <strong>{title}</strong>
      <p>{children}</p>
    </div>
  );
}
