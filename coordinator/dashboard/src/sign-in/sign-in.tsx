import { Alert, Button, PasswordInput, TextInput } from '@mantine/core';
import { useEffect, useState } from 'react';
import type { MeView } from '@fedlora/shared';
import { ApiProblem } from '@fedlora/shared/client';
import { api, explain } from '../api.js';
import { Brand, ColorSchemeSwitch } from '../shell/header.js';
import { useDocumentTitle } from '../shell/document-title.js';

interface SignInProps {
  /** Why the page asks, where there is something to say. */
  readonly notice: string | null;
  /** Why the sign-in with the identity provider, from which the browser just came back, is none. */
  readonly refusedBefore: string | null;
  readonly onSignedIn: (me: MeView) => void;
}

export function SignIn({ notice, refusedBefore, onSignedIn }: SignInProps) {
  useDocumentTitle('Sign in');
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  const [asksForCode, setAsksForCode] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  const [refusal, setRefusal] = useState(refusedBefore);

  const [provider, setProvider] = useState<string | null>(null);

  useEffect(() => {
    // Without an answer the page offers what always works.
    api.signInWays().then(
      (ways) => setProvider(ways.provider),
      () => undefined,
    );
  }, []);

  const goToProvider = async (): Promise<void> => {
    setIsBusy(true);
    setRefusal(null);
    try {
      window.location.assign((await api.beginProviderSignIn()).url);
    } catch (error) {
      setIsBusy(false);
      setRefusal(explain(error));
    }
  };

  const signIn = async (): Promise<void> => {
    setIsBusy(true);
    setRefusal(null);
    try {
      onSignedIn(await api.signIn({ name: name.trim(), password, ...(code === '' ? {} : { code: code.trim() }) }));
    } catch (error) {
      setIsBusy(false);
      if (error instanceof ApiProblem && error.code === 'access/second-factor-required') setAsksForCode(true);
      else setRefusal(explain(error));
    }
  };

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
          if (!isBusy) void signIn();
        }}
      >
        <h1>Sign in to the coordinator</h1>
        {refusal !== null && (
          <Alert color="red" role="alert" data-testid="sign-in-refusal" title="Not signed in">
            {refusal}
          </Alert>
        )}
        {refusal === null && notice !== null && <Alert role="status">{notice}</Alert>}
        <TextInput
          label="Name"
          autoComplete="username"
          autoFocus
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <PasswordInput
          label="Password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        {asksForCode && (
          <TextInput
            label="Code"
            description="The six digits that your authenticator shows, or a recovery code."
            autoComplete="one-time-code"
            autoFocus
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
        )}
        <Button type="submit" fullWidth loading={isBusy} disabled={name.trim() === '' || password === ''}>
          Sign in
        </Button>
        {provider !== null && (
          <Button variant="default" fullWidth disabled={isBusy} onClick={() => void goToProvider()}>
            Sign in with {provider}
          </Button>
        )}
        <p className="faint">You are signed out after an hour without use, and after twelve hours in any case.</p>
      </form>
    </main>
  );
}
