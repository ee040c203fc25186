import { Table } from '@mantine/core';
import type { OrganisationView } from '@fedlora/shared';
import { useServerNow } from '../../clock.js';
import { count, formatAgo, formatTime } from '../../format.js';
import { CopyButton } from '../../blocks/copy-button.js';
import { Hint } from '../../blocks/hint.js';
import { Nothing, Section } from '../../blocks/section.js';

export function Organisations({ organisations }: { organisations: readonly OrganisationView[] }) {
  const now = useServerNow(5_000);
  const connected = organisations.filter((one) => one.connected).length;
  const pending = organisations.filter((one) => one.status === 'pending').length;
  return (
    <Section
      testId="organisations"
      title="Organisations"
      aside={
        organisations.length > 0 && (
          <span className="faint">
            {connected} of {organisations.length} connected
            {pending > 0 && ` · ${count(pending, 'certificate')} missing`}
          </span>
        )
      }
    >
      {organisations.length === 0 ? (
        <Nothing title="Nobody has enrolled yet">
          Invite one on the page of the organisations, and give it the token.
        </Nothing>
      ) : (
        <Table className="stacking" verticalSpacing={7} horizontalSpacing="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Name</Table.Th>
              <Table.Th>
                <Hint text="Short form of the organisation’s identity key. Compare it with the organisation by telephone or in person before you certify it.">
                  Fingerprint
                </Hint>
              </Table.Th>
              <Table.Th>
                <Hint text="Active: certified by the federation key. Pending: enrolled, and cannot take part until it is certified.">
                  Status
                </Hint>
              </Table.Th>
              <Table.Th>
                <Hint text="What the client says it is doing, or offline if it is not connected.">State</Hint>
              </Table.Th>
              <Table.Th>
                <Hint text="When the coordinator last heard from the client.">Last seen</Hint>
              </Table.Th>
              <Table.Th>
                <Hint text="The kind of hardware the client trains on.">Device</Hint>
              </Table.Th>
              <Table.Th>
                <Hint text="Version of the client program.">Client</Hint>
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {organisations.map((one) => (
              <Table.Tr key={one.name} data-organisation={one.name}>
                <Table.Td className="cell-title">{one.name}</Table.Td>
                <Table.Td data-label="Fingerprint">
                  <span className="inline">
                    <code>{one.fingerprint}</code>
                    <CopyButton value={one.fingerprint} what={`the fingerprint of ${one.name}`} />
                  </span>
                </Table.Td>
                <Table.Td data-label="Status">
                  <span className={`tag tone-${one.status === 'active' ? 'plain' : 'warn'}`}>{one.status}</span>
                </Table.Td>
                <Table.Td data-label="State">
                  <span
                    className="state"
                    data-tone={one.connected ? (one.state === 'paused' ? 'wait' : 'good') : 'off'}
                  >
                    <i className="dot" aria-hidden />
                    {one.state === 'waiting-for-cohort' ? 'waiting for others' : one.state}
                  </span>
                </Table.Td>
                <Table.Td
                  data-label="Last seen"
                  title={one.lastSeenAt === null ? undefined : formatTime(one.lastSeenAt)}
                >
                  {one.lastSeenAt === null ? 'never' : one.connected ? 'now' : formatAgo(one.lastSeenAt, now)}
                </Table.Td>
                <Table.Td data-label="Device">{one.device ?? '–'}</Table.Td>
                <Table.Td data-label="Client">{one.clientVersion ?? '–'}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Section>
  );
}
