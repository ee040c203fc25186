import { TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import type { OrganisationView } from '@fedlora/shared';
import { api } from '../../api.js';
import { useApiForm } from '../../blocks/api-form.js';
import { Command } from '../../blocks/command.js';
import { CopyButton } from '../../blocks/copy-button.js';
import { Form } from '../../blocks/form.js';
import { Section } from '../../blocks/section.js';

/** The three steps by which a pending organisation becomes a member. */
export function CertificateForm({ organisation: { name, fingerprint, identity } }: { organisation: OrganisationView }) {
  const client = useQueryClient();
  const form = useApiForm({
    initialValues: { certificate: '' },
    submit: ({ certificate }) => api.certify(name, certificate.trim()),
    onDone: () => void client.invalidateQueries({ queryKey: ['organisations'] }),
  });
  return (
    <Section testId="certify" title="Make it a member">
      <ol className="instructions">
        <li>
          Compare the fingerprint with its owner, by telephone or in person:{' '}
          <span className="inline">
            <code>{fingerprint}</code>
            <CopyButton value={fingerprint} what="the fingerprint" />
          </span>
        </li>
        <li>
          Where the federation key is kept, offline, sign its key:
          <Command what="the command">
            {`fedlora federation sign --key federation.key --name ${name} --identity ${identity}`}
          </Command>
        </li>
        <li>
          Bring the certificate that was printed:
          <Form form={form} action="Bring the certificate" refusal="It is not certified">
            <TextInput
              label="Certificate"
              description="128 hex digits."
              autoComplete="off"
              spellCheck={false}
              {...form.fields.getInputProps('certificate')}
            />
          </Form>
        </li>
      </ol>
    </Section>
  );
}
