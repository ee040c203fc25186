import { useQueryClient } from '@tanstack/react-query';
import type { ApiTokenView } from '@fedlora/shared';
import { api } from '../../api.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';
import { TokenDialog } from './token-dialog.js';

export default function TokensPage() {
  const list = usePagedList<ApiTokenView>(['tokens'], (at) => api.tokens(at));
  return (
    <PageFrame
      title="API tokens"
      lead="For services and scripts: each may do what it was made for, until it expires, and never more than its maker."
      actions={<TokenDialog />}
    >
      <Section testId="tokens" title="Tokens">
        <DataTable
          label="tokens"
          columns={columns}
          {...list}
          rowKey={({ id }) => id}
          empty={
            <Nothing title="There is no token">Make one for a service that pulls adapters, or for a script.</Nothing>
          }
        />
        <MoreButton list={list} what="tokens" />
      </Section>
    </PageFrame>
  );
}

const columns: readonly Column<ApiTokenView>[] = [
  { name: 'For', kind: 'title', cell: ({ name }) => name, sortBy: ({ name }) => name },
  {
    name: 'May',
    hint: 'What the API lets it do, as long as its maker may do it, too.',
    isWide: true,
    cell: ({ permissions }) => permissions.join(', '),
  },
  {
    name: 'Runs',
    hint: 'The runs that it is limited to.',
    cell: ({ runs }) => (runs === null ? 'all' : runs.length === 0 ? 'none' : runs.join(', ')),
  },
  { name: 'By', hint: 'Who made it.', cell: ({ createdBy }) => createdBy, sortBy: ({ createdBy }) => createdBy },
  {
    name: 'Last used',
    hint: 'To the minute.',
    cell: ({ lastUsedAt }) => (lastUsedAt === null ? 'never' : <Moment at={lastUsedAt} />),
    sortBy: ({ lastUsedAt }) => lastUsedAt,
  },
  { name: 'Expires', cell: ({ expiresAt }) => <Moment at={expiresAt} />, sortBy: ({ expiresAt }) => expiresAt },
  { name: 'Actions', kind: 'actions', cell: (token) => <Revoke token={token} /> },
];

function Revoke({ token: { id, name } }: { token: ApiTokenView }) {
  const client = useQueryClient();
  return (
    <ConfirmButton
      label={`Revoke the token ${name}`}
      question={`Revoke the token ${name}?`}
      consequence="Whatever uses it is refused from then on. It cannot be brought back."
      action="Revoke"
      isDestructive
      onConfirm={async () => {
        await api.revokeToken(id);
        await client.invalidateQueries({ queryKey: ['tokens'] });
      }}
    >
      Revoke
    </ConfirmButton>
  );
}
