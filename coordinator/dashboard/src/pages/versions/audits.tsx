import { Link } from '@tanstack/react-router';
import type { AuditFindingView, ReleaseView } from '@fedlora/shared';
import { DataTable } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { Nothing, Section } from '../../blocks/section.js';
import { formatNumber } from '../../format.js';
import { useMay } from '../../session.js';
import { hints } from './version-words.js';

/** What audits with canaries found out about a version: how much of single records it gives away, against what it promises. */
export function Audits({ release: { audits } }: { release: ReleaseView }) {
  const mayReadLog = useMay('audit.read');
  return (
    <Section testId="audits" title="Audits with canaries">
      <DataTable<AuditFindingView>
        rows={audits}
        error={null}
        isFetching={false}
        onRetry={() => undefined}
        label="Audits with canaries"
        rowKey={({ seal }) => seal}
        empty={
          <Nothing title="No audit was reported">
            What the version promises rests on its proof alone. An owner who trained with canaries can put it to the
            test: <code>fedlora audit measure</code>.
          </Nothing>
        }
        columns={[
          { name: 'Reported', kind: 'title', cell: ({ at }) => <Moment at={at} as="date" /> },
          { name: 'Canaries', kind: 'number', hint: hints.canaries, cell: ({ canaries }) => canaries },
          {
            name: 'Told apart',
            kind: 'number',
            hint: hints.guesses,
            cell: ({ right, guesses }) => `${right} of ${guesses}`,
          },
          {
            name: 'Epsilon at least',
            kind: 'number',
            hint: hints.epsilonShown,
            cell: ({ epsilonLowerBound }) => formatNumber(epsilonLowerBound),
          },
          {
            name: 'Promised',
            kind: 'number',
            hint: hints.epsilonOfRecord,
            cell: ({ epsilonPromised }) => formatNumber(epsilonPromised),
          },
          { name: 'Promise', cell: (finding) => <Verdict of={finding} /> },
        ]}
      />
      {audits.length > 0 && (
        <p className="compare-line">
          Who reported an audit is in the{' '}
          {mayReadLog ? (
            <Link to="/audit" className="version-link">
              audit log
            </Link>
          ) : (
            'audit log'
          )}
          .
        </p>
      )}
    </Section>
  );
}

function Verdict({ of: { epsilonLowerBound, epsilonPromised } }: { of: AuditFindingView }) {
  if (epsilonPromised === null) return <span className="tag tone-plain">none is made</span>;
  return epsilonLowerBound > epsilonPromised ? (
    <span className="tag tone-bad">contradicted</span>
  ) : (
    <span className="tag tone-good">not contradicted</span>
  );
}
