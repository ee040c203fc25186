import { Button, type ButtonProps } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { Dialog } from './dialog.js';

interface FormDialogProps extends Omit<ButtonProps, 'children'> {
  /** On the button that opens it. */
  readonly button: string;
  /** For readers of the screen, where the same word stands in many rows. */
  readonly label?: string;
  readonly title: string;
  /** The form; begun afresh each time the dialog opens. */
  readonly children: (close: () => void) => ReactNode;
}

/** A button that opens a form. */
export function FormDialog({ button, label, title, children, ...look }: FormDialogProps) {
  const [isOpen, dialog] = useDisclosure(false);
  return (
    <>
      <Button size="xs" {...look} onClick={dialog.open} aria-label={label}>
        {button}
      </Button>
      <Dialog isOpen={isOpen} onClose={dialog.close} title={title} size="lg">
        {children(dialog.close)}
      </Dialog>
    </>
  );
}
