import { TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import type { OrganisationDetails } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { FormDialog } from '../../blocks/form-dialog.js';
import { Form } from '../../blocks/form.js';
import { RevocationDialog } from './revocation-dialog.js';

/** What an operator can do with an organisation as it stands. */
export function StandingActions({ organisation: { name, status, identity } }: { organisation: OrganisationDetails }) {
  const client = useQueryClient();
  const refresh = (): Promise<void> => client.invalidateQueries({ queryKey: ['organisations'] });
  if (status === 'left') return <RevocationDialog identity={identity} />;
  return (
    <>
      {status === 'suspended' ? (
        <ConfirmButton
          question={`Let ${name} take part again?`}
          consequence="It is told so, and is offered the next round of every run that it is a member of."
          action="Reinstate"
          onConfirm={async () => {
            await api.reinstate(name);
            await refresh();
          }}
        >
          Reinstate
        </ConfirmButton>
      ) : (
        status !== 'revoked' && (
          <FormDialog button="Suspend" title={`Suspend ${name}?`} variant="default">
            {(close) => <Suspend name={name} onClose={close} />}
          </FormDialog>
        )
      )}
      {status !== 'revoked' && (
        <ConfirmButton
          question={`End the sessions of ${name}?`}
          consequence="Its client is disconnected and signs in again by itself, as long as its key is good. An open round may lose it."
          action="End sessions"
          isDestructive
          onConfirm={async () => {
            await api.endSessions(name);
            await refresh();
          }}
        >
          End sessions
        </ConfirmButton>
      )}
      {status !== 'revoked' && <RevocationDialog identity={identity} />}
    </>
  );
}

function Suspend({ name, onClose }: { name: string; onClose: () => void }) {
  const client = useQueryClient();
  const form = useApiForm({
    initialValues: { reason: '' },
    submit: ({ reason }) => api.suspend(name, reason.trim() === '' ? {} : { reason: reason.trim() }),
    onDone: () => {
      void client.invalidateQueries({ queryKey: ['organisations'] });
      onClose();
    },
  });
  return (
    <Form form={form} action="Suspend" refusal="It is not suspended" isDestructive onCancel={onClose} testId="suspend">
      <p>
        It stays connected and is told, but is offered no rounds until you reinstate it. An open round goes on without
        it, or is aborted if too few are left; what it has uploaded already still counts.
      </p>
      <TextInput
        label="Reason"
        description="Optional. The organisation’s owner reads it, too; it is kept in the audit log."
        data-autofocus
        {...form.fields.getInputProps('reason')}
      />
    </Form>
  );
}
