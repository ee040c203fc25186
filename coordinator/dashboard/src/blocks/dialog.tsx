import { Modal } from '@mantine/core';
import { createContext, useContext, useLayoutEffect, useMemo, useState, type ReactNode } from 'react';

interface DialogProps {
  readonly isOpen: boolean;
  readonly title: string;
  readonly size?: 'md' | 'lg';
  readonly onClose: () => void;
  /** Begun afresh each time the dialog opens. */
  readonly children: ReactNode;
}

/** Holds the dialog open; returns how to let it go. */
type Hold = () => () => void;

const HoldContext = createContext<Hold | null>(null);

/**
 * A modal dialog. A click beside it closes nothing, since what was typed would be lost; and while it shows something that is shown only
 * once, neither Escape nor a cross closes it.
 */
export function Dialog({ isOpen, title, size = 'md', onClose, children }: DialogProps) {
  const [holders, setHolders] = useState(0);
  const hold = useMemo<Hold>(
    () => () => {
      setHolders((count) => count + 1);
      return () => setHolders((count) => count - 1);
    },
    [],
  );
  return (
    <Modal
      opened={isOpen}
      onClose={onClose}
      title={title}
      size={size}
      centered
      closeOnClickOutside={false}
      closeOnEscape={holders === 0}
      withCloseButton={holders === 0}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <HoldContext value={hold}>{children}</HoldContext>
    </Modal>
  );
}

/** While the caller is shown, the dialog that it is in, if any, closes only by the caller's own button. */
export function useHoldDialogOpen(isHeld: boolean): void {
  const hold = useContext(HoldContext);
  useLayoutEffect(() => (isHeld ? hold?.() : undefined), [hold, isHeld]);
}
