import type { Permission } from '@fedlora/shared';
import { PageFrame } from '../blocks/page-frame.js';
import { Nothing, Section } from '../blocks/section.js';

/** A page that the user's role does not open. */
export function Forbidden({ title, missing }: { title: string; missing: readonly Permission[] }) {
  return (
    <PageFrame title={title}>
      <Section testId="forbidden" title="Your user may not see this page">
        <Nothing title={`It needs the permission ${missing.join(' and ')}`}>
          Ask an administrator for another role.
        </Nothing>
      </Section>
    </PageFrame>
  );
}
