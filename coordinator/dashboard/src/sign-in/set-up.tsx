import { Alert, Button, PasswordInput } from '@mantine/core';
import { useState } from 'react';
import { api, explain } from '../api.js';
import { Brand, ColorSchemeSwitch } from '../shell/header.js';
import { useDocumentTitle } from '../shell/document-title.js';

interface SetUpProps {
  /** Of the link that was opened. */
  readonly token: string;
  readonly onDone: () => void;
  readonly onCancel: () => void;
}

/** Where a set-up link leads: its holder chooses a password. */
export function SetUp({ token, onDone, onCancel }: SetUpProps) {
  useDocumentTitle('Set your password');
  const [password, setPassword] = useState('');
  const [again, setAgain] = useState('');
  const [isBusy, setIsBusy] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const differs = again !== '' && again !== password;

  const setUp = async (): Promise<void> => {
    setIsBusy(true);
    setRefusal(null);
    try {
      await api.setUp(token, password);
      onDone();
    } catch (error) {
      setIsBusy(false);
      setRefusal(explain(error));
    }
  };

  return (
    <main className="sign-in" data-testid="set-up">
      <div className="sign-in-head">
        <Brand />
        <ColorSchemeSwitch />
      </div>
      <form
        className="section"
        onSubmit={(event) => {
          event.preventDefault();
          if (!isBusy) void setUp();
        }}
      >
        <h1>Set your password</h1>
        {refusal !== null && (
          <Alert color="red" role="alert" data-testid="set-up-refusal" title="The password is not set">
            {refusal}
          </Alert>
        )}
        <PasswordInput
          label="New password"
          description="12 characters or more. Nobody else ever sees it."
          autoComplete="new-password"
          autoFocus
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        <PasswordInput
          label="Once more"
          autoComplete="new-password"
          error={differs ? 'This is another one.' : undefined}
          value={again}
          onChange={(event) => setAgain(event.currentTarget.value)}
        />
        <Button type="submit" fullWidth loading={isBusy} disabled={password === '' || again !== password}>
          Set password
        </Button>
        <button type="button" className="quiet-button" onClick={onCancel}>
          I have a password already
        </button>
      </form>
    </main>
  );
}
