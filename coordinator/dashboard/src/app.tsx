import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useState } from 'react';
import { forgetToken, readToken, storeToken, takeTokenFromAddress } from './operator-token.js';
import { OverviewPage } from './views/overview-page.js';
import { SignIn } from './views/sign-in.js';

// Before the first render, so that the token is out of the address whatever happens next.
const firstToken = takeTokenFromAddress() ?? readToken();

export function App() {
  const client = useQueryClient();
  const [token, setToken] = useState(firstToken);
  const [refusal, setRefusal] = useState<string | null>(null);

  const signIn = useCallback((value: string) => {
    storeToken(value);
    setRefusal(null);
    setToken(value);
  }, []);

  const signOut = useCallback(
    (reason: string | null) => {
      forgetToken();
      client.clear();
      setToken(null);
      setRefusal(reason);
    },
    [client],
  );

  // A fresh link pasted into this tab changes the fragment only and does not load the page again.
  useEffect(() => {
    const onHashChange = (): void => {
      const fresh = takeTokenFromAddress();
      if (fresh !== null) signIn(fresh);
    };
    window.addEventListener('hashchange', onHashChange);
    return () => window.removeEventListener('hashchange', onHashChange);
  }, [signIn]);

  if (token === null) return <SignIn refusal={refusal} onSignIn={signIn} />;
  return <OverviewPage key={token} token={token} onSignOut={signOut} />;
}
