import type { ReactNode } from 'react';
import { useDocumentTitle } from '../shell/document-title.js';

interface PageFrameProps {
  readonly title: string;
  /** What the page is for, or about; one line. */
  readonly lead?: ReactNode;
  /** Buttons for the page as a whole. */
  readonly actions?: ReactNode;
  /** What is open within the page, for the tab. */
  readonly tabTitle?: string | null;
  readonly children: ReactNode;
}

/** Title, actions and content of a page. Every page is one of these. */
export function PageFrame({ title, lead, actions, tabTitle, children }: PageFrameProps) {
  useDocumentTitle(tabTitle, title);
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>{title}</h1>
          {lead !== undefined && <p className="faint">{lead}</p>}
        </div>
        {actions !== undefined && <div className="page-actions">{actions}</div>}
      </div>
      {children}
    </div>
  );
}
