import { Alert, Button, Group } from '@mantine/core';
import type { ReactNode } from 'react';
import { CopyButton } from './copy-button.js';
import { useHoldDialogOpen } from './dialog.js';

interface SecretBoxProps {
  readonly title: string;
  readonly secret: string;
  /** For the copy button: “the token”. */
  readonly what: string;
  /** Where it goes, how long it is good. */
  readonly children?: ReactNode;
  /** Forgets it; without, the box stays. */
  readonly onDone?: () => void;
}

/** A secret that is shown once: the coordinator keeps only its hash. A dialog around it stays open until somebody says that it is kept. */
export function SecretBox({ title, secret, what, children, onDone }: SecretBoxProps) {
  useHoldDialogOpen(onDone !== undefined);
  return (
    <Alert color="yellow" title={title} role="status" data-testid="secret-box" className="secret-box">
      <p className="secret">
        <code data-testid="secret">{secret}</code>
        <CopyButton value={secret} what={what} />
      </p>
      <p>This is the only time it is shown: keep it now. {children}</p>
      {onDone !== undefined && (
        <Group justify="flex-end">
          <Button size="xs" variant="default" onClick={onDone}>
            I have kept it
          </Button>
        </Group>
      )}
    </Alert>
  );
}
