import { useQueryClient } from '@tanstack/react-query';
import type { OrganisationDetails, OrganisationKeyView } from '@fedlora/shared';
import { Command } from '../../blocks/command.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { Nothing, Section } from '../../blocks/section.js';

/** The keys that it had, and how another takes the place of the present one. */
export function Keys({ organisation: { name, identity, keys } }: { organisation: OrganisationDetails }) {
  const client = useQueryClient();
  return (
    <Section testId="keys" title="Keys">
      <DataTable
        label="keys"
        columns={columns}
        rows={keys}
        error={null}
        isFetching={false}
        onRetry={() => void client.invalidateQueries({ queryKey: ['organisations', name] })}
        rowKey={(key) => key.identity}
        empty={<Nothing title="No key is known">The history of keys begins with the next one.</Nothing>}
      />
      <details className="explanation">
        <summary>How to change its key</summary>
        <ol className="instructions">
          <li>
            Its owner makes the next key with <code>fedlora identity next</code>, and tells you its identity and
            fingerprint by another channel.
          </li>
          <li>
            Where the federation key is kept, offline, you certify the new key and revoke the old one:
            <Command what="the command">
              {`fedlora federation rotate --key federation.key --name ${name} --old ${identity} --identity NEW_IDENTITY --list revocations.json`}
            </Command>
          </li>
          <li>
            Bring <code>revocations.json</code> with “Revoke keys” above, and invite {name} again under the same name.
          </li>
          <li>
            Its owner stops the client and runs <code>fedlora identity rotate --token-file invitation.txt</code>, which
            hands the privacy ledgers over to the new key.
          </li>
          <li>
            Bring the certificate of step 2 on this page, where {name} is pending by then. Runs that it was a member of
            end; start new ones.
          </li>
        </ol>
      </details>
    </Section>
  );
}

const columns: readonly Column<OrganisationKeyView>[] = [
  { name: 'Fingerprint', kind: 'title', cell: ({ fingerprint }) => <code>{fingerprint}</code> },
  {
    name: 'State',
    hint: 'In use, or replaced by a later one; revoked, if the federation key has taken it back.',
    cell: ({ replacedAt, revoked }) => (
      <span className={`tag tone-${revoked ? 'bad' : replacedAt === null ? 'good' : 'plain'}`}>
        {revoked ? 'revoked' : replacedAt === null ? 'in use' : 'replaced'}
      </span>
    ),
  },
  { name: 'Enrolled', cell: ({ enrolledAt }) => <Moment at={enrolledAt} as="date" /> },
  { name: 'Replaced', cell: ({ replacedAt }) => <Moment at={replacedAt} as="date" never="–" /> },
];
