import { useQueryClient } from '@tanstack/react-query';
import type { InvitationStatus, InvitationView } from '@fedlora/shared';
import { api } from '../../api.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';

const tones: Record<InvitationStatus, string> = { open: 'good', used: 'plain', expired: 'warn', withdrawn: 'plain' };

export function Invitations({ mayManage }: { mayManage: boolean }) {
  const list = usePagedList<InvitationView>(['invitations'], (at) => api.invitations(at));
  return (
    <Section testId="invitations" title="Invitations">
      <DataTable
        label="invitations"
        columns={mayManage ? [...columns, withdrawal] : columns}
        {...list}
        rowKey={({ id }) => id}
        empty={
          <Nothing title="Nobody is invited">
            An invitation is a token with which one organisation enrols, once.
          </Nothing>
        }
      />
      <MoreButton list={list} what="invitations" />
    </Section>
  );
}

const columns: readonly Column<InvitationView>[] = [
  { name: 'For', kind: 'title', cell: ({ name }) => name, sortBy: ({ name }) => name },
  {
    name: 'Status',
    hint: 'Open: can be used. Used: an organisation has enrolled with it. Expired, or withdrawn: opens nothing any more.',
    cell: ({ status }) => <span className={`tag tone-${tones[status]}`}>{status}</span>,
    sortBy: ({ status }) => status,
  },
  { name: 'Made', cell: ({ createdAt }) => <Moment at={createdAt} />, sortBy: ({ createdAt }) => createdAt },
  { name: 'By', hint: 'The user, or the API token, that made it.', cell: ({ createdBy }) => createdBy ?? '–' },
  {
    name: 'Ends',
    hint: 'When it expires, or when it was used or withdrawn.',
    cell: ({ expiresAt, endedAt }) => <Moment at={endedAt ?? expiresAt} />,
    sortBy: ({ expiresAt, endedAt }) => endedAt ?? expiresAt,
  },
];

const withdrawal: Column<InvitationView> = {
  name: 'Actions',
  kind: 'actions',
  cell: (invitation) => invitation.status === 'open' && <Withdraw invitation={invitation} />,
};

function Withdraw({ invitation: { id, name } }: { invitation: InvitationView }) {
  const client = useQueryClient();
  return (
    <ConfirmButton
      label={`Withdraw the invitation of ${name}`}
      question={`Withdraw the invitation of ${name}?`}
      consequence="Its token opens nothing from then on. You can make another at any time."
      action="Withdraw"
      isDestructive
      onConfirm={async () => {
        await api.withdrawInvitation(id);
        await client.invalidateQueries({ queryKey: ['invitations'] });
      }}
    >
      Withdraw
    </ConfirmButton>
  );
}
