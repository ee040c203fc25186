import { Link } from '@tanstack/react-router';
import type { OrganisationView } from '@fedlora/shared';
import { everyItem } from '@fedlora/shared/client';
import { api } from '../../api.js';
import { CopyButton } from '../../blocks/copy-button.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { Nothing, Section } from '../../blocks/section.js';
import type { LiveEvent } from '../../live/live-feed.js';
import { useLiveQuery } from '../../live/live.js';
import { replaceIn } from '../../live/merge.js';
import { useMay } from '../../session.js';
import { InvitationDialog } from './invitation-dialog.js';
import { Invitations } from './invitations.js';
import { RevocationDialog } from './revocation-dialog.js';
import { ClientState, Health, statusHint, StatusTag } from './standing.js';

export default function OrganisationsPage() {
  const mayManage = useMay('organisations.manage');
  const query = useLiveQuery({ queryKey: ['organisations'], fetch: fetchOrganisations, merge: mergeOrganisations });
  const rows = query.data;
  return (
    <PageFrame
      title="Organisations"
      lead="Who takes part, how each of them fares, and who is invited."
      actions={
        mayManage && (
          <>
            <RevocationDialog />
            <InvitationDialog />
          </>
        )
      }
    >
      <Section
        testId="organisations"
        title="Enrolled"
        aside={rows !== undefined && `${rows.filter(({ connected }) => connected).length} of ${rows.length} connected`}
      >
        <DataTable
          label="organisations"
          columns={columns}
          rows={rows}
          error={query.error}
          isFetching={query.isFetching}
          onRetry={() => void query.refetch()}
          rowKey={({ name }) => name}
          empty={
            <Nothing title="Nobody has enrolled yet">
              Invite an organisation, and give the token to its owner by a channel that you both trust.
            </Nothing>
          }
        />
      </Section>
      <Invitations mayManage={mayManage} />
    </PageFrame>
  );
}

const fetchOrganisations = (): Promise<readonly OrganisationView[]> => everyItem((at) => api.organisations(at));

function mergeOrganisations(all: readonly OrganisationView[], event: LiveEvent): readonly OrganisationView[] {
  if (event.name !== 'organisation.changed') return all;
  const { value } = event;
  return replaceIn(all, value, ({ name }) => name === value.name).toSorted((a, b) => a.name.localeCompare(b.name));
}

const columns: readonly Column<OrganisationView>[] = [
  {
    name: 'Name',
    kind: 'title',
    cell: ({ name }) => (
      <Link to="/organisations/$name" params={{ name }}>
        {name}
      </Link>
    ),
    sortBy: ({ name }) => name,
  },
  { name: 'Status', hint: statusHint, cell: (one) => <StatusTag organisation={one} />, sortBy: ({ status }) => status },
  {
    name: 'Health',
    hint: 'What is amiss. The organisation’s own page says what to do about each.',
    cell: ({ warnings }) => <Health warnings={warnings} />,
    sortBy: ({ warnings }) => warnings.length,
  },
  {
    name: 'State',
    hint: 'What the client says that it is doing, or offline if it is not connected.',
    cell: (one) => <ClientState organisation={one} />,
    sortBy: ({ state }) => state,
  },
  {
    name: 'Last seen',
    hint: 'When the coordinator last heard from the client.',
    cell: ({ connected, lastSeenAt }) => (connected ? 'now' : <Moment at={lastSeenAt} />),
    sortBy: ({ connected, lastSeenAt }) => (connected ? Number.MAX_VALUE : lastSeenAt),
  },
  {
    name: 'Device',
    hint: 'The kind of hardware that the client trains on; auto, until its first round has chosen one.',
    cell: ({ device }) => device ?? '–',
  },
  { name: 'Client', hint: 'Version of the client program.', cell: ({ clientVersion }) => clientVersion ?? '–' },
  {
    name: 'Fingerprint',
    hint: 'Short form of the identity key, to compare with its owner by telephone or in person.',
    isWide: true,
    cell: ({ name, fingerprint }) => (
      <span className="inline">
        <code>{fingerprint}</code>
        <CopyButton value={fingerprint} what={`the fingerprint of ${name}`} />
      </span>
    ),
  },
];
