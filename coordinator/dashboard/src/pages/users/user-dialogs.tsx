import { Checkbox, Select, TextInput } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Role, SetupLinkView, UserView } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { FormDialog } from '../../blocks/form-dialog.js';
import { Form } from '../../blocks/form.js';
import { LoadError } from '../../blocks/load-error.js';
import { Moment } from '../../blocks/moment.js';
import { RunScope } from '../../blocks/run-scope.js';
import { SecretBox } from '../../blocks/secret-box.js';

const roleChoices: readonly { readonly value: Role; readonly label: string }[] = [
  { value: 'viewer', label: 'Viewer: sees organisations, runs and versions' },
  { value: 'operator', label: 'Operator: manages them, too' },
  { value: 'admin', label: 'Administrator: everything, users and audit log included' },
];

interface NewUserValues extends Record<string, unknown> {
  readonly name: string;
  readonly role: Role;
  readonly runs: string[] | null;
}

export function NewUserDialog() {
  return (
    <FormDialog button="Make a user" title="Make a user">
      {(close) => <NewUser onClose={close} />}
    </FormDialog>
  );
}

function NewUser({ onClose }: { onClose: () => void }) {
  const client = useQueryClient();
  const [link, setLink] = useState<SetupLinkView | null>(null);
  const initialValues: NewUserValues = { name: '', role: 'viewer', runs: null };
  const form = useApiForm({
    initialValues,
    submit: (request) => api.createUser(request),
    onDone: (made) => {
      setLink(made);
      void client.invalidateQueries({ queryKey: ['users'] });
    },
  });
  if (link !== null) return <SetupLink link={link} onDone={onClose} />;
  const { fields } = form;
  return (
    <Form form={form} action="Make the user" refusal="No user was made" onCancel={onClose} testId="new-user">
      <TextInput
        label="Name"
        description="With which the user signs in: lower-case letters, digits, dots, hyphens and underscores."
        data-autofocus
        required
        {...fields.getInputProps('name')}
      />
      <Select label="Role" data={roleChoices} allowDeselect={false} {...fields.getInputProps('role')} />
      <RunScope
        value={fields.getValues().runs}
        onChange={(runs) => fields.setFieldValue('runs', runs)}
        error={fields.errors.runs}
      />
    </Form>
  );
}

/** The link is a secret: whoever opens it sets the password. */
export function SetupLink({ link: { user, token, expiresAt }, onDone }: { link: SetupLinkView; onDone: () => void }) {
  return (
    <SecretBox
      title={`The set-up link of ${user.name}`}
      secret={`${window.location.origin}/#setup=${token}`}
      what="the link"
      onDone={onDone}
    >
      Whoever opens it sets the password, once; it expires <Moment at={expiresAt} />. Send it by a channel that you both
      trust.
    </SecretBox>
  );
}

export function ChangeDialog({ user }: { user: UserView }) {
  return (
    <FormDialog button="Change" label={`Change ${user.name}`} title={`Change ${user.name}`} variant="default">
      {(close) => <LoadedUser user={user} onClose={close} />}
    </FormDialog>
  );
}

/** As the user is now, with the tag of that: a change that somebody else makes in the meantime is not written over. */
function LoadedUser({ user, onClose }: { user: UserView; onClose: () => void }) {
  const query = useQuery({
    queryKey: ['user', user.id],
    queryFn: () => api.taggedUser(user.id),
    gcTime: 0,
    // Asked once: a newer tag under a form that was filled in before would let it write over the newer values.
    staleTime: Infinity,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  if (query.error !== null)
    return <LoadError error={query.error} isTrying={query.isFetching} onRetry={() => void query.refetch()} />;
  return query.data === undefined ? null : <Change user={query.data.value} tag={query.data.tag} onClose={onClose} />;
}

function Change({ user, tag, onClose }: { user: UserView; tag: string | undefined; onClose: () => void }) {
  const client = useQueryClient();
  const form = useApiForm({
    initialValues: {
      role: user.role,
      runs: user.runs === null ? null : [...user.runs],
      disabled: user.disabled,
    },
    submit: ({ role, ...rest }) =>
      // The provider says the role of its users.
      api.changeUser(user.id, user.fromProvider ? rest : { role, ...rest }, tag === undefined ? {} : { ifMatch: tag }),
    onDone: () => {
      void client.invalidateQueries({ queryKey: ['users'] });
      onClose();
    },
  });
  const { fields } = form;
  const isDisabling = fields.getValues().disabled && !user.disabled;
  return (
    <Form
      form={form}
      action={isDisabling ? `Save, and disable ${user.name}` : 'Save'}
      isDestructive={isDisabling}
      refusal="Nothing was changed"
      onCancel={onClose}
      testId="change-user"
    >
      <Select
        label="Role"
        description={user.fromProvider ? 'The identity provider says it.' : undefined}
        data={roleChoices}
        allowDeselect={false}
        disabled={user.fromProvider}
        {...fields.getInputProps('role')}
      />
      <RunScope
        value={fields.getValues().runs}
        onChange={(runs) => fields.setFieldValue('runs', runs)}
        error={fields.errors.runs}
      />
      <Checkbox
        label="Disabled"
        description="Signs the user out everywhere, and lets nothing of theirs in: their tokens neither."
        {...fields.getInputProps('disabled', { type: 'checkbox' })}
      />
    </Form>
  );
}
