import type { UserView } from '@fedlora/shared';
import { api } from '../../api.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';
import { UserActions } from './user-actions.js';
import { NewUserDialog } from './user-dialogs.js';

export default function UsersPage() {
  const list = usePagedList<UserView>(['users'], (at) => api.users(at));
  return (
    <PageFrame title="Users" lead="People who sign in here, and what each may do." actions={<NewUserDialog />}>
      <Section testId="users" title="Users">
        <DataTable
          label="users"
          columns={columns}
          {...list}
          rowKey={({ id }) => id}
          empty={<Nothing title="There is no user">The first administrator is made at the first start.</Nothing>}
        />
        <MoreButton list={list} what="users" />
      </Section>
    </PageFrame>
  );
}

const columns: readonly Column<UserView>[] = [
  { name: 'Name', kind: 'title', cell: ({ name }) => name, sortBy: ({ name }) => name },
  {
    name: 'Role',
    hint: 'Viewers see organisations, runs and versions; operators manage them, too; administrators may do everything.',
    cell: ({ role }) => role,
    sortBy: ({ role }) => role,
  },
  {
    name: 'Runs',
    hint: 'The runs that the user is limited to.',
    cell: ({ runs }) => (runs === null ? 'all' : runs.length === 0 ? 'none' : runs.join(', ')),
  },
  {
    name: 'Status',
    hint: 'Invited: has not set a password yet. From the provider: the identity provider signs the user in, and says the role.',
    cell: (user) => <span className={`tag tone-${toneOf(user)}`}>{statusOf(user)}</span>,
    sortBy: statusOf,
  },
  {
    name: 'Second factor',
    hint: 'Whether a code of an authenticator is asked for at each sign-in.',
    cell: ({ hasSecondFactor, fromProvider }) => (fromProvider ? 'by the provider' : hasSecondFactor ? 'yes' : 'no'),
  },
  {
    name: 'Last sign-in',
    cell: ({ lastSignInAt }) => (lastSignInAt === null ? 'never' : <Moment at={lastSignInAt} />),
    sortBy: ({ lastSignInAt }) => lastSignInAt,
  },
  { name: 'Actions', kind: 'actions', cell: (user) => <UserActions user={user} /> },
];

function statusOf({ disabled, fromProvider, hasPassword }: UserView): string {
  if (disabled) return 'disabled';
  if (fromProvider) return 'from the provider';
  return hasPassword ? 'active' : 'invited';
}

function toneOf(user: UserView): string {
  const status = statusOf(user);
  return status === 'disabled' ? 'bad' : status === 'invited' ? 'warn' : 'good';
}
