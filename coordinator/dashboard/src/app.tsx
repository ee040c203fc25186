import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useState } from 'react';
import type { MeView } from '@fedlora/shared';
import { api, explain, isRefusal } from './api.js';
import { takeProviderAnswer } from './sign-in/provider-answer.js';
import { SetUp } from './sign-in/set-up.js';
import { takeSetupToken } from './sign-in/setup-link.js';
import { SignIn } from './sign-in/sign-in.js';
import { SignedIn } from './signed-in.js';

// Before the first render, so that the token is out of the address whatever happens next.
const firstSetupToken = takeSetupToken();
const providerAnswer = takeProviderAnswer();
/** An answer of the identity provider's counts once: asked before the first render, however often that happens. */
const providerSignIn = providerAnswer === null ? null : api.finishProviderSignIn(providerAnswer);
// Until the page listens.
providerSignIn?.catch(() => undefined);

type View =
  | { readonly kind: 'asking' }
  | { readonly kind: 'set-up'; readonly token: string }
  | { readonly kind: 'signed-out'; readonly notice: string | null; readonly refusal: string | null }
  | { readonly kind: 'signed-in'; readonly me: MeView };

export function App() {
  const client = useQueryClient();
  const [view, setView] = useState<View>(
    firstSetupToken === null ? { kind: 'asking' } : { kind: 'set-up', token: firstSetupToken },
  );

  const leave = useCallback(
    (notice: string | null, refusal: string | null = null) => {
      client.clear();
      setView({ kind: 'signed-out', notice, refusal });
    },
    [client],
  );

  // A page that is loaded again still has its cookie.
  useEffect(() => {
    if (view.kind !== 'asking') return;
    const isAnswer = providerSignIn !== null;
    (providerSignIn ?? api.me()).then(
      (me) => setView({ kind: 'signed-in', me }),
      (error: unknown) => {
        if (isAnswer) leave(null, explain(error));
        else leave(isRefusal(error) ? null : explain(error));
      },
    );
  }, [view.kind, leave]);

  // A link pasted into this tab changes the fragment only and does not load the page again.
  useEffect(() => {
    const onHashChange = (): void => {
      const token = takeSetupToken();
      if (token !== null) setView({ kind: 'set-up', token });
    };
    window.addEventListener('hashchange', onHashChange);
    return () => window.removeEventListener('hashchange', onHashChange);
  }, []);

  const signOut = useCallback(
    (reason: string | null) => {
      // With a reason, the coordinator has ended the sign-in already.
      if (reason === null) void api.signOut().catch(() => undefined);
      leave(reason);
    },
    [leave],
  );

  switch (view.kind) {
    case 'asking':
      return null;
    case 'set-up':
      return (
        <SetUp
          token={view.token}
          onDone={() => leave('The password is set. Sign in with it.')}
          onCancel={() => leave(null)}
        />
      );
    case 'signed-out':
      return (
        <SignIn
          notice={view.notice}
          refusedBefore={view.refusal}
          onSignedIn={(me) => setView({ kind: 'signed-in', me })}
        />
      );
    case 'signed-in':
      return <SignedIn key={view.me.id} me={view.me} onSignOut={signOut} />;
    default:
      return view satisfies never;
  }
}
