import { PasswordInput, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { renderSVG } from 'uqr';
import type { TotpOffer } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { FormDialog } from '../../blocks/form-dialog.js';
import { Form } from '../../blocks/form.js';
import { SecretBox } from '../../blocks/secret-box.js';
import { Section } from '../../blocks/section.js';
import { useSession } from '../../session.js';

export function SecondFactor() {
  const client = useQueryClient();
  const { me } = useSession();
  // Here, so that the dialog that shows them is not exchanged for the other when the page learns that there is a factor now.
  const [codes, setCodes] = useState<readonly string[] | null>(null);
  const hasOne = me.hasSecondFactor && codes === null;
  const refresh = (): Promise<void> => client.invalidateQueries({ queryKey: ['me'] });
  return (
    <Section testId="second-factor" title="Second factor">
      <p>
        {hasOne
          ? 'A code of your authenticator is asked for at each sign-in.'
          : 'A password alone opens your account. With an authenticator on your telephone, it takes that, too.'}
      </p>
      <div>
        {hasOne ? (
          <FormDialog key="remove" button="Remove it" title="Remove the second factor" variant="default">
            {(close) => (
              <Removal
                onDone={() => {
                  close();
                  void refresh();
                }}
                onClose={close}
              />
            )}
          </FormDialog>
        ) : (
          <FormDialog key="set-up" button="Set it up" title="Set up a second factor">
            {(close) => (
              <SetUp
                codes={codes}
                onCodes={setCodes}
                onKept={() => {
                  close();
                  void refresh().then(() => setCodes(null));
                }}
                onClose={close}
              />
            )}
          </FormDialog>
        )}
      </div>
    </Section>
  );
}

interface SetUpProps {
  /** Once the factor is set up. */
  readonly codes: readonly string[] | null;
  readonly onCodes: (codes: readonly string[]) => void;
  readonly onKept: () => void;
  readonly onClose: () => void;
}

/** Password, then the code of the authenticator that scanned the offer, then the recovery codes, once. */
function SetUp({ codes, onCodes, onKept, onClose }: SetUpProps) {
  const [offer, setOffer] = useState<TotpOffer | null>(null);
  if (codes !== null) {
    return (
      <SecretBox title="Recovery codes" secret={codes.join('\n')} what="the recovery codes" onDone={onKept}>
        Each opens your account once, without the authenticator: for the day on which it is lost. Print them, or keep
        them where you keep passwords.
      </SecretBox>
    );
  }
  if (offer === null) return <Proof onOffer={setOffer} onClose={onClose} />;
  return <Confirmation offer={offer} onCodes={onCodes} onClose={onClose} />;
}

function Proof({ onOffer, onClose }: { onOffer: (offer: TotpOffer) => void; onClose: () => void }) {
  const form = useApiForm({
    initialValues: { password: '' },
    submit: ({ password }) => api.offerSecondFactor(password),
    onDone: onOffer,
  });
  return (
    <Form form={form} action="Go on" refusal="Nothing was changed" onCancel={onClose}>
      <PasswordInput
        label="Password"
        description="To be sure that it is you at this screen."
        autoComplete="current-password"
        data-autofocus
        required
        {...form.fields.getInputProps('password')}
      />
    </Form>
  );
}

interface ConfirmationProps {
  readonly offer: TotpOffer;
  readonly onCodes: (codes: readonly string[]) => void;
  readonly onClose: () => void;
}

function Confirmation({ offer, onCodes, onClose }: ConfirmationProps) {
  const form = useApiForm({
    initialValues: { code: '' },
    submit: ({ code }) => api.confirmSecondFactor(code.trim()),
    onDone: ({ recoveryCodes }) => onCodes(recoveryCodes),
  });
  // Drawn here: the secret goes to no other server. An image, so that nothing in it can run.
  const image = `data:image/svg+xml;utf8,${encodeURIComponent(renderSVG(offer.uri))}`;
  return (
    <Form form={form} action="Confirm" refusal="The second factor is not set up" onCancel={onClose}>
      <p>Scan this with your authenticator, or type the secret below it.</p>
      <img className="qr" src={image} alt="QR code of the secret below" width={200} height={200} />
      <code data-testid="totp-secret">{offer.secret}</code>
      <TextInput
        label="Code"
        description="The six digits that the authenticator shows now."
        inputMode="numeric"
        autoComplete="one-time-code"
        required
        {...form.fields.getInputProps('code')}
      />
    </Form>
  );
}

function Removal({ onDone, onClose }: { onDone: () => void; onClose: () => void }) {
  const form = useApiForm({
    initialValues: { password: '' },
    submit: ({ password }) => api.removeSecondFactor(password),
    onDone,
  });
  return (
    <Form form={form} action="Remove it" isDestructive refusal="Nothing was changed" onCancel={onClose}>
      <PasswordInput
        label="Password"
        description="From then on the password alone opens your account."
        autoComplete="current-password"
        data-autofocus
        required
        {...form.fields.getInputProps('password')}
      />
    </Form>
  );
}
