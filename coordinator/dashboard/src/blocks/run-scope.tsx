import { MultiSelect, Radio, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { everyItem } from '@fedlora/shared/client';
import { api } from '../api.js';

interface RunScopeProps {
  /** Ids of runs; `null`: every run, also those to come. */
  readonly value: readonly string[] | null;
  readonly onChange: (runs: string[] | null) => void;
  readonly error?: ReactNode;
}

/** To which runs somebody, or something, is limited. */
export function RunScope({ value, onChange, error }: RunScopeProps) {
  const runs = useQuery({ queryKey: ['runs', 'titles'], queryFn: () => everyItem((at) => api.runs(at)) });
  const known = (runs.data ?? []).map(({ id, title }) => ({ value: id, label: `${title} (${id})` }));
  // A run that was limited to may be gone from sight; it stays chosen.
  const others = (value ?? []).filter((id) => !known.some((run) => run.value === id));
  return (
    <Stack gap="xs">
      <Radio.Group
        label="Runs"
        description="Limited to some runs, it sees nothing of the others and manages nothing of the whole federation."
        value={value === null ? 'all' : 'some'}
        onChange={(chosen) => onChange(chosen === 'all' ? null : [])}
        error={error}
      >
        <Stack gap={6} mt={6}>
          <Radio value="all" label="Every run, also those to come" />
          <Radio value="some" label="Only these runs" />
        </Stack>
      </Radio.Group>
      {value !== null && (
        <MultiSelect
          aria-label="Only these runs"
          placeholder={value.length === 0 ? 'Choose runs; none yet means none at all' : undefined}
          data={[...known, ...others]}
          value={[...value]}
          onChange={onChange}
          searchable
          nothingFoundMessage={runs.isError ? 'The runs could not be loaded.' : 'No run of this name.'}
        />
      )}
    </Stack>
  );
}
