import { Button, Group, type ButtonProps } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { useApiForm, type ApiForm } from '../../blocks/api-form.js';
import { Dialog } from '../../blocks/dialog.js';
import { Refusal } from '../../blocks/refusal.js';

interface DecisionButtonProps<Values extends Record<string, unknown>> extends ButtonProps {
  readonly children: ReactNode;
  /** The question. */
  readonly question: string;
  /** What will happen, and whether it can be undone. */
  readonly consequence: ReactNode;
  /** On the button that does it: the verb. */
  readonly action: string;
  readonly isDestructive?: boolean;
  readonly initialValues: Values;
  /** What has to be said with the decision. */
  readonly inputs: (fields: ApiForm<Values, unknown>['fields']) => ReactNode;
  readonly onDecide: (values: Values) => Promise<unknown>;
}

/** A button that asks for a decision with its reasons. Stays open with what the coordinator says if it refuses. */
export function DecisionButton<Values extends Record<string, unknown>>(props: DecisionButtonProps<Values>) {
  const {
    children,
    question,
    consequence,
    action,
    isDestructive = false,
    initialValues,
    inputs,
    onDecide,
    ...look
  } = props;
  const [isOpen, dialog] = useDisclosure(false);
  const form = useApiForm({ initialValues, submit: onDecide, onDone: dialog.close });
  const open = (): void => {
    form.reset();
    dialog.open();
  };
  return (
    <>
      <Button size="xs" variant="default" {...look} onClick={open}>
        {children}
      </Button>
      <Dialog isOpen={isOpen} onClose={dialog.close} title={question}>
        <form {...form.formProps}>
          <div className="dialog-text">{consequence}</div>
          <div className="dialog-text">{inputs(form.fields)}</div>
          <Refusal error={form.error} title="Nothing was changed" />
          <Group justify="flex-end" mt="md">
            <Button variant="default" onClick={dialog.close}>
              Cancel
            </Button>
            <Button type="submit" color={isDestructive ? 'red' : undefined} loading={form.isBusy}>
              {action}
            </Button>
          </Group>
        </form>
      </Dialog>
    </>
  );
}
