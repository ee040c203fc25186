import { Alert, Button, PasswordInput } from '@mantine/core';
import { useState } from 'react';
import { Brand, ColorSchemeSwitch } from './header.js';

interface SignInProps {
  /** Why the last token was not accepted. */
  readonly refusal: string | null;
  readonly onSignIn: (token: string) => void;
}

export function SignIn({ refusal, onSignIn }: SignInProps) {
  const [token, setToken] = useState('');
  return (
    <main className="sign-in" data-testid="sign-in">
      <div className="sign-in-head">
        <Brand />
        <ColorSchemeSwitch />
      </div>
      <form
        className="section"
        onSubmit={(event) => {
          event.preventDefault();
          if (token.trim() !== '') onSignIn(token.trim());
        }}
      >
        <h1>Sign in to the coordinator</h1>
        {refusal !== null && (
          <Alert color="red" role="alert" data-testid="sign-in-refusal" title="This token was not accepted">
            {refusal}
          </Alert>
        )}
        <PasswordInput
          label="Operator token"
          description="The coordinator prints it, with a link to this page, when it is set up."
          autoComplete="off"
          autoFocus
          value={token}
          onChange={(event) => setToken(event.currentTarget.value)}
        />
        <Button type="submit" fullWidth disabled={token.trim() === ''}>
          Sign in
        </Button>
        <p className="faint">The token stays in this browser tab and is forgotten when you close it.</p>
      </form>
    </main>
  );
}
