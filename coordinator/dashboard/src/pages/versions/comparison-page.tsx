import './versions.css';
import { Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { ComparisonView, ModuleDifference, ReleaseView } from '@fedlora/shared';
import { api } from '../../api.js';
import { DataTable } from '../../blocks/data-table.js';
import { Hint } from '../../blocks/hint.js';
import { LoadError } from '../../blocks/load-error.js';
import { Loading } from '../../blocks/loading.js';
import { Measure } from '../../blocks/measure.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { Nothing, Section } from '../../blocks/section.js';
import { shorten } from '../../format.js';
import { GateBadge } from './gate-badge.js';
import { OutcomesSideBySide } from './outcomes.js';
import { VersionBadges, VersionLink } from './version-name.js';
import { hints } from './version-words.js';

const route = getRouteApi('/versions/compare');

/** Two versions side by side. */
export default function ComparisonPage() {
  const { left, right } = route.useSearch();
  const query = useQuery({
    queryKey: ['versions', 'comparison', left, right],
    queryFn: () => api.compare(left ?? '', right ?? ''),
    enabled: left !== undefined && right !== undefined,
  });
  const { data, error } = query;
  return (
    <PageFrame
      title="Compare versions"
      lead={
        data && (
          <Link to="/versions" search={{ repository: data.right.repository }} className="version-link">
            All versions of {data.right.repository}
          </Link>
        )
      }
    >
      {left === undefined || right === undefined ? (
        <Section testId="nothing-to-compare" title="Two versions are needed">
          <Nothing title="None are chosen">
            Choose two in the{' '}
            <Link to="/versions" className="version-link">
              list of versions
            </Link>
            .
          </Nothing>
        </Section>
      ) : data !== undefined ? (
        <>
          <SideBySide comparison={data} />
          <OutcomesSideBySide left={data.left.id} right={data.right.id} />
          <Modules modules={data.modules} />
        </>
      ) : error !== null ? (
        <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
      ) : (
        <Loading what="the comparison" heights={[260, 200]} />
      )}
    </PageFrame>
  );
}

interface Line {
  readonly name: string;
  readonly hint: string;
  readonly cell: (release: ReleaseView) => ReactNode;
  /** What tells whether both have the same. */
  readonly same: (release: ReleaseView) => unknown;
}

const lines: readonly Line[] = [
  {
    name: 'Released',
    hint: hints.channels,
    cell: (release) => <VersionBadges release={release} />,
    same: ({ channels }) => channels.join(),
  },
  { name: 'Gate', hint: hints.gate, cell: ({ gate }) => <GateBadge gate={gate} />, same: ({ gate }) => gate.outcome },
  {
    name: 'Held-out loss',
    hint: hints.loss,
    cell: ({ evaluation }) => <Measure value={evaluation?.loss ?? null} unit="nats" digits={4} hint={hints.loss} />,
    same: ({ evaluation }) => evaluation?.loss,
  },
  {
    name: 'Exact answers',
    hint: hints.accuracy,
    cell: ({ evaluation }) => (
      <Measure
        value={evaluation === null ? null : 100 * evaluation.accuracy}
        unit="%"
        digits={1}
        hint={hints.accuracy}
      />
    ),
    same: ({ evaluation }) => evaluation?.accuracy,
  },
  {
    name: 'Epsilon',
    hint: hints.epsilon,
    cell: ({ epsilon }) => <Measure value={epsilon} unit="" digits={2} hint={hints.epsilon} />,
    same: ({ epsilon }) => epsilon,
  },
  { name: 'Run', hint: 'The run that made it.', cell: ({ runTitle }) => runTitle, same: ({ runId }) => runId },
  {
    name: 'Round',
    hint: hints.round,
    cell: ({ roundNumber }) => <Measure value={roundNumber} unit="" hint={hints.round} />,
    same: ({ roundNumber }) => roundNumber,
  },
  {
    name: 'Organisations',
    hint: 'Those of the roster, whose rows it may have been trained on.',
    cell: ({ organisations }) => organisations.join(', '),
    same: ({ organisations }) => organisations.join(),
  },
  {
    name: 'Manifest',
    hint: hints.manifest,
    cell: ({ manifestHash }) => <code title={manifestHash}>{shorten(manifestHash)}</code>,
    same: ({ manifestHash }) => manifestHash,
  },
  {
    name: 'Roster',
    hint: hints.roster,
    cell: ({ rosterHash }) => <code title={rosterHash}>{shorten(rosterHash)}</code>,
    same: ({ rosterHash }) => rosterHash,
  },
  {
    name: 'Published',
    hint: 'When its round ended.',
    cell: ({ createdAt }) => <Moment at={createdAt} as="date" />,
    same: ({ createdAt }) => createdAt,
  },
];

function SideBySide({ comparison: { left, right, commonAncestor } }: { comparison: ComparisonView }) {
  return (
    <Section
      testId="side-by-side"
      title="Side by side"
      aside={
        commonAncestor === null ? (
          'They come from no common version.'
        ) : (
          <>
            both come from <VersionLink id={commonAncestor} />
          </>
        )
      }
    >
      <Table className="side-by-side" verticalSpacing={7} horizontalSpacing="sm" aria-label="Side by side">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>
              <span className="visually-hidden">What</span>
            </Table.Th>
            <Table.Th>
              <VersionLink id={left.id} />
            </Table.Th>
            <Table.Th>
              <VersionLink id={right.id} />
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {lines.map(({ name, hint, cell, same }) => (
            <Table.Tr key={name} data-differs={same(left) !== same(right)}>
              <Table.Th scope="row">
                <Hint text={hint}>{name}</Hint>
              </Table.Th>
              <Table.Td>{cell(left)}</Table.Td>
              <Table.Td>{cell(right)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Section>
  );
}

function Modules({ modules }: { modules: ComparisonView['modules'] }) {
  return (
    <Section testId="modules" title="How far apart they are" aside="Norms of the updates in each module">
      <DataTable<ModuleDifference>
        rows={modules ?? []}
        error={null}
        isFetching={false}
        onRetry={() => undefined}
        label="Differences by module"
        rowKey={({ name }) => name}
        sortedBy={{ name: 'Difference', descending: true }}
        empty={<Nothing title="They cannot be compared">They are adapters of different base models.</Nothing>}
        columns={[
          { name: 'Module', kind: 'title', cell: ({ name }) => <code>{name}</code>, sortBy: ({ name }) => name },
          {
            name: 'Difference',
            kind: 'number',
            hint: hints.difference,
            sortBy: ({ difference }) => difference,
            cell: ({ difference }) => <Measure value={difference} unit="" digits={4} hint={hints.difference} />,
          },
          {
            name: 'First',
            kind: 'number',
            sortBy: ({ left }) => left,
            cell: ({ left }) => (
              <Measure
                value={left}
                unit=""
                digits={4}
                hint="Frobenius norm of the first version’s update, scaled B A."
              />
            ),
          },
          {
            name: 'Second',
            kind: 'number',
            sortBy: ({ right }) => right,
            cell: ({ right }) => (
              <Measure
                value={right}
                unit=""
                digits={4}
                hint="Frobenius norm of the second version’s update, scaled B A."
              />
            ),
          },
        ]}
      />
    </Section>
  );
}
