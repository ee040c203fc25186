import { Select, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { InvitationResponse } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { Command } from '../../blocks/command.js';
import { FormDialog } from '../../blocks/form-dialog.js';
import { Form } from '../../blocks/form.js';
import { Moment } from '../../blocks/moment.js';
import { SecretBox } from '../../blocks/secret-box.js';

const lifetimes = [
  { value: '3600', label: '1 hour' },
  { value: '86400', label: '1 day' },
  { value: '604800', label: '7 days' },
  { value: '2592000', label: '30 days' },
];

interface Invited {
  readonly name: string;
  readonly invitation: InvitationResponse;
}

export function InvitationDialog() {
  return (
    <FormDialog button="Invite an organisation" title="Invite an organisation">
      {(close) => <Invite onClose={close} />}
    </FormDialog>
  );
}

function Invite({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [invited, setInvited] = useState<Invited | null>(null);
  const form = useApiForm({
    initialValues: { name: '', lifetimeSeconds: '86400' },
    submit: ({ name, lifetimeSeconds }) => api.invite({ name, lifetimeSeconds: Number(lifetimeSeconds) }),
    onDone: (invitation) => {
      setInvited({ name: form.fields.getValues().name, invitation });
      void client.invalidateQueries({ queryKey: ['invitations'] });
    },
  });
  if (invited !== null) return <Token invited={invited} onDone={onClose} />;
  return (
    <Form form={form} action="Invite" refusal="Nobody was invited" onCancel={onClose} testId="invite">
      <TextInput
        label="Name"
        description="What the organisation is called here, for good: lower-case letters, digits and hyphens. To bring in the new key of one that was revoked, its present name."
        data-autofocus
        required
        {...form.fields.getInputProps('name')}
      />
      <Select
        label="Good for"
        description="Within this time the organisation must have enrolled."
        data={lifetimes}
        allowDeselect={false}
        {...form.fields.getInputProps('lifetimeSeconds')}
      />
    </Form>
  );
}

function Token({ invited: { name, invitation }, onDone }: { invited: Invited; onDone: () => void }) {
  const { token, expiresAt, federationKey, coordinatorKey } = invitation;
  const command = `fedlora enrol ${window.location.origin} --name ${name} --federation-key ${federationKey} --coordinator-key ${coordinatorKey} --token-file invitation.txt`;
  return (
    <div className="form">
      <SecretBox title={`The invitation of ${name}`} secret={token} what="the token" onDone={onDone}>
        It is good once, for an organisation of this name; it expires <Moment at={expiresAt} />.
      </SecretBox>
      <p>Give the token to its owner by a channel that you both trust. The owner saves it as a file, and runs</p>
      <Command what="the command">{command}</Command>
      <p>
        Compare the federation’s key in it with your own <code>federation.pub</code> first: this page is the
        coordinator’s, and a coordinator could name another. Afterwards the organisation appears here as pending;
        compare its fingerprint with the owner, and bring the certificate.
      </p>
    </div>
  );
}
