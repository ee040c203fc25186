import { Button, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useState } from 'react';
import type { AuditActor, AuditEntry, AuditLine, PlainObject, PlainValue } from '@fedlora/shared';
import { api } from '../../api.js';
import { Command } from '../../blocks/command.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';

const TYPING_MS = 300;

export default function AuditPage() {
  const [event, setEvent] = useState('');
  const [actor, setActor] = useState('');
  const [filter] = useDebouncedValue({ event: event.trim(), actor: actor.trim() }, TYPING_MS);
  const list = usePagedList<AuditLine>(['audit', filter], (at) =>
    api.audit({
      ...at,
      ...(filter.event === '' ? {} : { event: filter.event }),
      ...(filter.actor === '' ? {} : { actor: filter.actor }),
    }),
  );
  const isFiltered = filter.event !== '' || filter.actor !== '';
  return (
    <PageFrame
      title="Audit log"
      lead="Everything that was changed, and what was refused where it matters: who, what, from where. Each line names the hash of the one before."
      actions={
        <Button component="a" href="/api/v1/audit/export" download="audit.jsonl" size="xs" variant="default">
          Export
        </Button>
      }
    >
      <Section testId="audit" title="Entries, newest first">
        <div className="filters">
          <TextInput
            label="Event"
            description="One event, such as run.started, or a family, such as run."
            value={event}
            onChange={({ currentTarget }) => setEvent(currentTarget.value)}
          />
          <TextInput
            label="By"
            description="Name of a user or token."
            value={actor}
            onChange={({ currentTarget }) => setActor(currentTarget.value)}
          />
        </div>
        <DataTable
          label="entries"
          columns={columns}
          {...list}
          rowKey={({ hash }) => hash}
          empty={
            <Nothing title={isFiltered ? 'No entry is like that' : 'Nothing was recorded yet'}>
              {isFiltered ? 'Take something of the filter away.' : 'The first change is.'}
            </Nothing>
          }
        />
        <MoreButton list={list} what="entries" />
      </Section>
      <Section testId="verify" title="Check an export">
        <p>
          No line of an export can be changed, removed or moved without this finding it. Note the newest hash now and
          then, somewhere else: then the newest lines cannot be cut off, either.
        </p>
        <Command what="the command">fedlora admin audit verify audit.jsonl</Command>
      </Section>
    </PageFrame>
  );
}

const columns: readonly Column<AuditLine>[] = [
  { name: 'When', cell: ({ entry }) => <Moment at={entry.at} /> },
  { name: 'Event', kind: 'title', cell: ({ entry }) => <code>{entry.event}</code> },
  {
    name: 'By',
    hint: 'A user, an API token, a client, or the coordinator itself.',
    cell: ({ entry }) => actorOf(entry.actor),
  },
  { name: 'From', hint: 'Address of the request.', cell: ({ entry }) => entry.address ?? '–' },
  { name: 'What', isWide: true, cell: ({ entry }) => <What entry={entry} /> },
  { name: 'Number', kind: 'number', hint: 'From 1, without gaps.', cell: ({ entry }) => entry.sequence },
];

function actorOf({ kind, name }: AuditActor): string {
  return name === undefined ? kind : kind === 'user' ? name : `${name} (${kind})`;
}

function What({ entry: { details, before, after } }: { entry: AuditEntry }) {
  const changed = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return (
    <>
      {Object.entries(details).map(([key, value]) => (
        <div key={key}>
          <span className="faint">{key}</span> {spelled(key, value)}
        </div>
      ))}
      {changed.map((key) => (
        <div key={`changed ${key}`}>
          <span className="faint">{key}</span> <del>{at(before, key)}</del> → <ins>{at(after, key)}</ins>
        </div>
      ))}
    </>
  );
}

function at(values: PlainObject | null, key: string): string {
  return values === null || !(key in values) ? 'nothing' : spelled(key, values[key]);
}

/** As people read it; an export has the values themselves. */
function spelled(key: string, value: PlainValue): string {
  if (value === null) return 'none';
  if (typeof value === 'number' && key.endsWith('At')) return new Date(value).toISOString();
  return typeof value === 'string' ? value : JSON.stringify(value);
}
