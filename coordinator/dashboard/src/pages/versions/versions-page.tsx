import './versions.css';
import { Button, Checkbox, Select } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useState } from 'react';
import { everyItem } from '@fedlora/shared/client';
import type { ReleaseView, RepositoryView } from '@fedlora/shared';
import { api } from '../../api.js';
import { CopyButton } from '../../blocks/copy-button.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Hint } from '../../blocks/hint.js';
import { LoadError } from '../../blocks/load-error.js';
import { Measure } from '../../blocks/measure.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';
import { count, shorten } from '../../format.js';
import { useRefetchOn } from '../../live/use-refetch-on.js';
import { Channels } from './channels.js';
import { GateBadge } from './gate-badge.js';
import { CopyVersion, VersionBadges, VersionLink } from './version-name.js';
import { hints } from './version-words.js';

const route = getRouteApi('/versions');

/** Repositories with their channels, and the versions of the one that is chosen. */
export default function VersionsPage() {
  const { repository: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  useRefetchOn(['versions'], 'version.published', 'version.changed', 'repository.changed', 'round.changed');
  const query = useQuery({
    queryKey: ['versions', 'repositories'],
    queryFn: () => everyItem((at) => api.repositories(at)),
  });
  const { data: repositories, error } = query;
  const repository = repositories?.find(({ name }) => name === chosen) ?? repositories?.at(0);
  return (
    <PageFrame
      title="Versions"
      tabTitle={repository?.name ?? null}
      lead="What runs published, what is released of it, and what speaks for and against each version."
      actions={
        repositories !== undefined &&
        repositories.length > 1 && (
          <Select
            label="Repository"
            data={repositories.map(({ name }) => name)}
            value={repository?.name ?? null}
            allowDeselect={false}
            searchable
            onChange={(name) => void navigate({ search: { repository: name ?? undefined } })}
          />
        )
      }
    >
      {repositories === undefined && error !== null && (
        <LoadError error={error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />
      )}
      {repositories !== undefined && repository === undefined && (
        <Section testId="no-repository" title="No version yet">
          <Nothing title="Nothing was published">
            A run publishes a version after each round that goes well. Start a run, and its versions appear here.
          </Nothing>
        </Section>
      )}
      {repository !== undefined && (
        <>
          <About repository={repository} />
          <Channels key={repository.name} repository={repository} />
          <Versions key={`versions of ${repository.name}`} repository={repository} />
        </>
      )}
    </PageFrame>
  );
}

function About({ repository: { name, baseName, runs, versions, downloads } }: { repository: RepositoryView }) {
  return (
    <p className="repository-line" data-testid="repository">
      <span className="inline">
        <code>{name}</code>
        <CopyButton value={name} what="the name of the repository" />
      </span>
      <span className="faint">
        {count(versions, 'version')} of {count(runs.length, 'run')}, adapters of {baseName} ·{' '}
        <Hint text={hints.downloads}>{count(downloads, 'download')}</Hint>
      </span>
    </p>
  );
}

function Versions({ repository }: { repository: RepositoryView }) {
  const [picked, setPicked] = useState<readonly string[]>([]);
  const list = usePagedList<ReleaseView>(['versions', 'releases', repository.name], (at) =>
    api.releases(repository.name, at),
  );
  const pick = (id: string, isPicked: boolean): void =>
    // A third one takes the place of the first.
    setPicked((before) => (isPicked ? [...before, id].slice(-2) : before.filter((one) => one !== id)));
  const [left, right] = picked;
  return (
    <Section
      testId="versions"
      title="Versions"
      aside={
        left !== undefined && right !== undefined ? (
          <Button size="xs" renderRoot={(props) => <Link to="/versions/compare" search={{ left, right }} {...props} />}>
            Compare the two
          </Button>
        ) : (
          'Choose two to compare them.'
        )
      }
    >
      <DataTable
        {...list}
        label="Versions"
        rowKey={({ id }) => id}
        empty={<Nothing title="Nothing was published">The run’s first round has not ended.</Nothing>}
        columns={[
          {
            name: 'Choose',
            kind: 'actions',
            cell: ({ id }) => (
              <Checkbox
                size="xs"
                aria-label={`Choose ${shorten(id)} to compare`}
                checked={picked.includes(id)}
                onChange={(event) => pick(id, event.currentTarget.checked)}
              />
            ),
          },
          ...columns,
        ]}
      />
      <MoreButton list={list} what="versions" />
    </Section>
  );
}

const columns: readonly Column<ReleaseView>[] = [
  {
    name: 'Version',
    kind: 'title',
    hint: hints.version,
    cell: (release) => (
      <span className="badges">
        <VersionLink id={release.id} />
        <CopyVersion id={release.id} />
        <VersionBadges release={release} />
      </span>
    ),
  },
  {
    name: 'Made in',
    hint: hints.round,
    cell: ({ runTitle, roundNumber }) => (
      <>
        {runTitle}, {roundNumber === null ? 'the beginning' : `round ${roundNumber}`}
      </>
    ),
  },
  { name: 'Gate', hint: hints.gate, cell: ({ gate }) => <GateBadge gate={gate} /> },
  {
    name: 'Held-out loss',
    kind: 'number',
    cell: ({ evaluation }) => <Measure value={evaluation?.loss ?? null} unit="nats" digits={4} hint={hints.loss} />,
  },
  {
    name: 'Exact',
    kind: 'number',
    cell: ({ evaluation }) => (
      <Measure
        value={evaluation === null ? null : 100 * evaluation.accuracy}
        unit="%"
        digits={1}
        hint={hints.accuracy}
      />
    ),
  },
  {
    name: 'Epsilon',
    kind: 'number',
    cell: ({ epsilon, delta }) => (
      <Measure
        value={epsilon}
        unit=""
        digits={2}
        hint={`${hints.epsilon}${delta === null ? '' : ` At delta ${delta}.`}`}
      />
    ),
  },
  { name: 'Published', cell: ({ createdAt }) => <Moment at={createdAt} /> },
];
