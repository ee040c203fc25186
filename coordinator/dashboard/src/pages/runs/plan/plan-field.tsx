import { NumberInput, Select, Switch, TagsInput, TextInput } from '@mantine/core';
import type { PlanField } from './fields.js';

interface PlanFieldInputProps {
  readonly field: PlanField;
  readonly value: unknown;
  /** Why the run would be refused. */
  readonly error: string | undefined;
  readonly advice: string | undefined;
  readonly onChange: (value: unknown) => void;
}

/** One field of the description, with what the coordinator says of it. */
export function PlanFieldInput({ field, value, error, advice, onChange }: PlanFieldInputProps) {
  const { path, label, hint, kind, choices = [] } = field;
  const common = {
    label,
    error,
    'data-field': path,
    description: advice === undefined ? hint : <span className="warn">{advice}</span>,
  };
  switch (kind) {
    case 'number':
      return (
        <NumberInput
          {...common}
          hideControls
          value={typeof value === 'number' ? value : ''}
          onChange={(given) => onChange(typeof given === 'number' ? given : undefined)}
        />
      );
    case 'switch':
      return (
        <Switch
          {...common}
          checked={value === true}
          onChange={(event) => onChange(event.currentTarget.checked ? true : undefined)}
        />
      );
    case 'choice':
      return <Select {...common} data={[...choices]} value={String(value)} allowDeselect={false} onChange={onChange} />;
    case 'list':
      return (
        <TagsInput
          {...common}
          value={Array.isArray(value) ? (value as string[]) : []}
          onChange={(given) => onChange(given.length === 0 ? undefined : given)}
        />
      );
    case 'text':
      return (
        <TextInput
          {...common}
          value={typeof value === 'string' ? value : ''}
          onChange={({ currentTarget: { value: given } }) => onChange(given === '' ? undefined : given)}
        />
      );
    default:
      return kind satisfies never;
  }
}
