import { Checkbox, Select, Stack, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { NewApiToken, Permission } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { FormDialog } from '../../blocks/form-dialog.js';
import { Form } from '../../blocks/form.js';
import { Moment } from '../../blocks/moment.js';
import { RunScope } from '../../blocks/run-scope.js';
import { SecretBox } from '../../blocks/secret-box.js';
import { useSession } from '../../session.js';

const DAY_SECONDS = 86_400;
const lifetimes = [7, 30, 90, 365].map((days) => ({ value: String(days * DAY_SECONDS), label: `${days} days` }));

export function TokenDialog() {
  return (
    <FormDialog button="Make a token" title="Make an API token">
      {(close) => <NewToken onClose={close} />}
    </FormDialog>
  );
}

function NewToken({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const { me } = useSession();
  const [made, setMade] = useState<NewApiToken | null>(null);
  const form = useApiForm({
    initialValues: {
      name: '',
      permissions: ['versions.read'] as Permission[],
      // Nobody can make a token for more runs than their own.
      runs: me.runs === null ? null : [...me.runs],
      lifetimeSeconds: String(90 * DAY_SECONDS),
    },
    submit: ({ lifetimeSeconds, ...request }) =>
      api.createToken({ ...request, lifetimeSeconds: Number(lifetimeSeconds) }),
    onDone: (token) => {
      setMade(token);
      void client.invalidateQueries({ queryKey: ['tokens'] });
    },
  });
  if (made !== null) {
    return (
      <SecretBox title={`The token ${made.name}`} secret={made.token} what="the token" onDone={onClose}>
        It goes into the header <code>Authorization: Bearer</code>, or into <code>FEDLORA_API_TOKEN</code>; it expires{' '}
        <Moment at={made.expiresAt} />.
      </SecretBox>
    );
  }
  const { fields } = form;
  return (
    <Form form={form} action="Make the token" refusal="No token was made" onCancel={onClose} testId="new-token">
      <TextInput
        label="For"
        description="What it is for: people read this."
        data-autofocus
        required
        {...fields.getInputProps('name')}
      />
      <Checkbox.Group
        label="May"
        description="Give it as little as it needs. Pulling adapters needs versions.read only."
        {...fields.getInputProps('permissions')}
      >
        <Stack gap={6} mt={6}>
          {me.permissions.map((permission) => (
            <Checkbox key={permission} value={permission} label={permission} />
          ))}
        </Stack>
      </Checkbox.Group>
      <RunScope
        value={fields.getValues().runs}
        onChange={(runs) => fields.setFieldValue('runs', runs)}
        error={fields.errors.runs}
      />
      <Select
        label="Good for"
        description="After this time it is refused."
        data={lifetimes}
        allowDeselect={false}
        {...fields.getInputProps('lifetimeSeconds')}
      />
    </Form>
  );
}
