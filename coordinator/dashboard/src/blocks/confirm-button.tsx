import { Button, Group, type ButtonProps } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Dialog } from './dialog.js';
import { Refusal } from './refusal.js';

interface ConfirmButtonProps extends ButtonProps {
  /** On the button that asks. */
  readonly children: ReactNode;
  /** The question. */
  readonly question: string;
  /** What will happen, and whether it can be undone. */
  readonly consequence: ReactNode;
  /** On the button that does it: the verb, never just “OK”. */
  readonly action: string;
  readonly isDestructive?: boolean;
  readonly onConfirm: () => Promise<unknown>;
  /** For tests and readers of the screen, where the same word stands in many rows. */
  readonly label?: string;
}

/** A button that asks before it acts. Stays open with the reason if the coordinator refuses. */
export function ConfirmButton(props: ConfirmButtonProps) {
  const { children, question, consequence, action, isDestructive = false, onConfirm, label, ...look } = props;
  const [isOpen, dialog] = useDisclosure(false);
  const doing = useMutation({ mutationFn: onConfirm, onSuccess: dialog.close });
  const open = (): void => {
    doing.reset();
    dialog.open();
  };
  return (
    <>
      <Button size="xs" variant="default" {...look} onClick={open} aria-label={label}>
        {children}
      </Button>
      <Dialog isOpen={isOpen} onClose={dialog.close} title={question}>
        <div className="dialog-text">{consequence}</div>
        <Refusal error={doing.error} title="Nothing was changed" />
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={dialog.close} data-autofocus>
            Cancel
          </Button>
          <Button color={isDestructive ? 'red' : undefined} loading={doing.isPending} onClick={() => doing.mutate()}>
            {action}
          </Button>
        </Group>
      </Dialog>
    </>
  );
}
