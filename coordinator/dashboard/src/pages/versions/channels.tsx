import { Table } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { ChannelMoveView, ChannelView, RepositoryView } from '@fedlora/shared';
import { api } from '../../api.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { DataTable } from '../../blocks/data-table.js';
import { Hint } from '../../blocks/hint.js';
import { Moment } from '../../blocks/moment.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';
import { shorten } from '../../format.js';
import { useMay } from '../../session.js';
import { asShown } from './as-shown.js';
import { VersionLink } from './version-name.js';
import { gateWords, hints, moveWords } from './version-words.js';

/** Which version each channel has, and how it came to that. */
export function Channels({ repository }: { repository: RepositoryView }) {
  const mayManage = useMay('versions.manage');
  const [shown, setShown] = useState<string | null>(null);
  return (
    <Section testId="channels" title="Channels" aside={<Hint text={hints.channels}>What is a channel?</Hint>}>
      <Table className="stacking" verticalSpacing={7} horizontalSpacing="sm" aria-label="Channels">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Channel</Table.Th>
            <Table.Th>Version</Table.Th>
            <Table.Th>
              <Hint text="Where a roll-back leads.">Before</Hint>
            </Table.Th>
            <Table.Th>Changed</Table.Th>
            <Table.Th>
              <span className="visually-hidden">Actions</span>
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {repository.channels.map((channel) => (
            <Table.Tr key={channel.name} data-row={channel.name}>
              <Table.Td className="cell-title">{channel.name}</Table.Td>
              <Table.Td data-label="Version">
                {channel.version === null ? <span className="faint">none</span> : <VersionLink id={channel.version} />}
              </Table.Td>
              <Table.Td data-label="Before">
                {channel.previous === null ? <span className="faint">–</span> : <VersionLink id={channel.previous} />}
              </Table.Td>
              <Table.Td data-label="Changed">
                <Moment at={channel.changedAt} />
              </Table.Td>
              <Table.Td className="cell-actions">
                {channel.isAutomatic ? (
                  <span className="faint">follows the runs</span>
                ) : (
                  <span className="badges">
                    {mayManage && <RollBack repository={repository.name} channel={channel} />}
                    <button
                      type="button"
                      className="quiet-button"
                      aria-expanded={shown === channel.name}
                      onClick={() => setShown(shown === channel.name ? null : channel.name)}
                    >
                      History<span className="visually-hidden"> of {channel.name}</span>
                    </button>
                  </span>
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {shown !== null && <History repository={repository.name} channel={shown} />}
    </Section>
  );
}

function RollBack({ repository, channel }: { repository: string; channel: ChannelView }) {
  const client = useQueryClient();
  const { name, version, previous } = channel;
  if (version === null || previous === null) return null;
  return (
    <ConfirmButton
      label={`Roll ${name} back`}
      question={`Roll ${name} back?`}
      consequence={
        <p>
          Services that pull <code>{name}</code> get version <code>{shorten(previous)}</code> again, instead of{' '}
          <code>{shorten(version)}</code>, which stays and can be promoted again.
        </p>
      }
      action="Roll back"
      isDestructive
      onConfirm={async () => {
        const condition = await asShown(
          repository,
          name,
          (present) => present?.version === version && present.previous === previous,
        );
        await api.rollBack(repository, name, condition);
        await client.invalidateQueries({ queryKey: ['versions'] });
      }}
    >
      Roll back
    </ConfirmButton>
  );
}

function History({ repository, channel }: { repository: string; channel: string }) {
  const list = usePagedList<ChannelMoveView>(['versions', 'moves', repository, channel], (at) =>
    api.channelMoves(repository, channel, at),
  );
  const version = (id: string | null) => (id === null ? <span className="faint">none</span> : <VersionLink id={id} />);
  return (
    <div className="channel-history">
      <h3>History of {channel}</h3>
      <DataTable
        {...list}
        label={`History of ${channel}`}
        rowKey={({ sequence }) => String(sequence)}
        empty={<Nothing title="Nothing yet">Promote a version to begin its history.</Nothing>}
        columns={[
          { name: 'What', kind: 'title', cell: ({ kind }) => moveWords[kind] },
          { name: 'From', cell: ({ before }) => version(before) },
          { name: 'To', cell: ({ after }) => version(after) },
          {
            name: 'Gate',
            hint: hints.gate,
            cell: ({ gate }) =>
              gate === null ? '–' : <span className={`tag tone-${gateWords[gate].tone}`}>{gateWords[gate].word}</span>,
          },
          { name: 'By', cell: ({ by }) => by },
          { name: 'When', cell: ({ at }) => <Moment at={at} /> },
          { name: 'Reason', isWide: true, cell: ({ reason }) => reason ?? <span className="faint">–</span> },
        ]}
      />
      <MoreButton list={list} what="entries" />
    </div>
  );
}
