import { Link } from '@tanstack/react-router';
import { PageFrame } from '../blocks/page-frame.js';
import { Nothing, Section } from '../blocks/section.js';

/** An address that no page has. */
export function NotFound() {
  return (
    <PageFrame title="There is no such page">
      <Section testId="not-found" title="Nothing at this address">
        <Nothing title="The address may be mistyped, or the page has moved">
          <Link to="/">Go to the overview</Link>
        </Nothing>
      </Section>
    </PageFrame>
  );
}
