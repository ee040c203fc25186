import { Checkbox } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { SetupLinkView, UserView } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { FormDialog } from '../../blocks/form-dialog.js';
import { Form } from '../../blocks/form.js';
import { ChangeDialog, SetupLink } from './user-dialogs.js';

export function UserActions({ user }: { user: UserView }) {
  return (
    <span className="inline">
      <ChangeDialog user={user} />
      {!user.fromProvider && (
        <FormDialog
          button="New link"
          label={`New link for ${user.name}`}
          title={`A set-up link for ${user.name}`}
          variant="default"
        >
          {(close) => <FreshLink user={user} onClose={close} />}
        </FormDialog>
      )}
      <ConfirmButton
        label={`Sign out ${user.name}`}
        question={`Sign ${user.name} out everywhere?`}
        consequence="Every browser in which the user is signed in asks for the password again. API tokens stay."
        action="Sign out"
        onConfirm={() => api.endSignInsOf(user.id)}
      >
        Sign out
      </ConfirmButton>
    </span>
  );
}

function FreshLink({ user, onClose }: { user: UserView; onClose: () => void }) {
  const client = useQueryClient();
  const [link, setLink] = useState<SetupLinkView | null>(null);
  const form = useApiForm({
    initialValues: { removeSecondFactor: false },
    submit: ({ removeSecondFactor }) => api.linkUser(user.id, removeSecondFactor),
    onDone: (made) => {
      setLink(made);
      void client.invalidateQueries({ queryKey: ['users'] });
    },
  });
  if (link !== null) return <SetupLink link={link} onDone={onClose} />;
  return (
    <Form form={form} action="Make the link" refusal="No link was made" onCancel={onClose} testId="new-link">
      <p>
        For a password that was forgotten, or a link that has expired. Earlier links of the user open nothing any more.
      </p>
      {user.hasSecondFactor && (
        <Checkbox
          label="Take the second factor away, too"
          description="For an authenticator that was lost. Be sure that it is the user who asks."
          {...form.fields.getInputProps('removeSecondFactor', { type: 'checkbox' })}
        />
      )}
    </Form>
  );
}
