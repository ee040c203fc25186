import { FileInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { Command } from '../../blocks/command.js';
import { FormDialog } from '../../blocks/form-dialog.js';
import { Form } from '../../blocks/form.js';

/** The federation key revokes, where it is kept; here its signed list is brought. */
export function RevocationDialog({ identity = 'IDENTITY' }: { identity?: string }) {
  return (
    <FormDialog button="Revoke keys" title="Bring the list of revoked keys" variant="default">
      {(close) => <Bring identity={identity} onClose={close} />}
    </FormDialog>
  );
}

function Bring({ identity, onClose }: { identity: string; onClose: () => void }) {
  const client = useQueryClient();
  const form = useApiForm({
    initialValues: { revocations: null as File | null },
    submit: async ({ revocations }) => api.revoke((await revocations?.text()) ?? ''),
    onDone: () => {
      void client.invalidateQueries({ queryKey: ['organisations'] });
      onClose();
    },
  });
  const isChosen = form.fields.getValues().revocations !== null;
  return (
    <Form
      form={form}
      action="Revoke for good"
      refusal="Nothing was revoked"
      isDestructive
      isDisabled={!isChosen}
      onCancel={onClose}
      testId="revoke"
    >
      <p>The list is made and signed where the federation key is kept, offline:</p>
      <Command what="the command">
        {`fedlora federation revoke --key federation.key --identity ${identity} --list revocations.json`}
      </Command>
      <p>
        Revoking cannot be undone: whoever is on the list is signed out at once, every run that it is a member of ends,
        and it comes back only with a new key and a new invitation. To keep somebody out for a while, suspend it
        instead.
      </p>
      <FileInput
        label="List of revoked keys"
        description="The file that the command wrote. It must contain everything that the list before it did."
        placeholder="Choose revocations.json"
        clearable
        {...form.fields.getInputProps('revocations')}
      />
    </Form>
  );
}
