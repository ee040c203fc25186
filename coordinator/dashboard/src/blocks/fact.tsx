import type { ReactNode } from 'react';
import { Hint } from './hint.js';

interface FactProps {
  readonly label: string;
  readonly hint: ReactNode;
  /** Below the value: a progress bar. */
  readonly after?: ReactNode;
  readonly children: ReactNode;
}

/** One of the large values at the head of a page, within `<dl className="facts">`. */
export function Fact({ label, hint, after, children }: FactProps) {
  return (
    <div className="fact">
      <dt>
        <Hint text={hint}>{label}</Hint>
      </dt>
      <dd>
        <div className="fact-value">{children}</div>
        {after}
      </dd>
    </div>
  );
}

export function Big({ children }: { children: ReactNode }) {
  return <span className="big">{children}</span>;
}

export function Small({ children }: { children: ReactNode }) {
  return <span className="small">{children}</span>;
}
