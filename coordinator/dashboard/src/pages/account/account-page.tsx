import { PasswordInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { SignInView } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { DataTable, type Column } from '../../blocks/data-table.js';
import { Form } from '../../blocks/form.js';
import { Moment } from '../../blocks/moment.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { MoreButton, usePagedList } from '../../blocks/paged-list.js';
import { Nothing, Section } from '../../blocks/section.js';
import { useSession } from '../../session.js';
import { SecondFactor } from './second-factor.js';

export default function AccountPage() {
  const { me } = useSession();
  return (
    <PageFrame title="Account" lead={`You are signed in as ${me.name}.`}>
      {me.hasPassword ? (
        <>
          <Password />
          <SecondFactor />
        </>
      ) : (
        <Section testId="provider" title="Password">
          <p>Your identity provider signs you in; password and second factor are there.</p>
        </Section>
      )}
      <SignIns />
    </PageFrame>
  );
}

function Password() {
  const [isDone, setDone] = useState(false);
  const client = useQueryClient();
  const form = useApiForm({
    initialValues: { password: '', newPassword: '' },
    submit: ({ password, newPassword }) => api.changePassword(password, newPassword),
    onDone: () => {
      form.reset();
      setDone(true);
      void client.invalidateQueries({ queryKey: ['sign-ins'] });
    },
  });
  return (
    <Section testId="password" title="Password">
      <Form form={form} action="Change the password" refusal="The password was not changed">
        {isDone && <p role="status">The password is changed, and every other sign-in has ended.</p>}
        <PasswordInput
          label="Present password"
          autoComplete="current-password"
          required
          {...form.fields.getInputProps('password')}
        />
        <PasswordInput
          label="New password"
          description="At least 12 characters, and none that is easily guessed."
          autoComplete="new-password"
          required
          {...form.fields.getInputProps('newPassword')}
        />
      </Form>
    </Section>
  );
}

function SignIns() {
  const list = usePagedList<SignInView>(['sign-ins'], (at) => api.signIns(at));
  return (
    <Section testId="sign-ins" title="Where you are signed in">
      <DataTable
        label="sign-ins"
        columns={columns}
        {...list}
        rowKey={({ id }) => id}
        empty={<Nothing title="Nowhere">This page would not be here.</Nothing>}
      />
      <MoreButton list={list} what="sign-ins" />
    </Section>
  );
}

const columns: readonly Column<SignInView>[] = [
  {
    name: 'Browser',
    kind: 'title',
    hint: 'What the browser calls itself.',
    cell: ({ agent, current }) => (
      <>
        {agent} {current && <span className="tag tone-good">this one</span>}
      </>
    ),
  },
  { name: 'From', hint: 'Address at the sign-in.', cell: ({ address }) => address },
  { name: 'Since', cell: ({ createdAt }) => <Moment at={createdAt} />, sortBy: ({ createdAt }) => createdAt },
  { name: 'Last used', cell: ({ usedAt }) => <Moment at={usedAt} />, sortBy: ({ usedAt }) => usedAt },
  { name: 'Actions', kind: 'actions', cell: (signIn) => !signIn.current && <End signIn={signIn} /> },
];

function End({ signIn: { id, agent } }: { signIn: SignInView }) {
  const client = useQueryClient();
  return (
    <ConfirmButton
      label={`End the sign-in of ${agent}`}
      question="End this sign-in?"
      consequence="That browser asks for your password again."
      action="End it"
      onConfirm={async () => {
        await api.endSignIn(id);
        await client.invalidateQueries({ queryKey: ['sign-ins'] });
      }}
    >
      End
    </ConfirmButton>
  );
}
