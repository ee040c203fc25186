import { Alert, Button } from '@mantine/core';
import type { ErrorComponentProps } from '@tanstack/react-router';
import { PageFrame } from '../blocks/page-frame.js';

/** In place of a page whose code failed, or could not be loaded: after an upgrade of the coordinator, say. */
export function PageFailed({ error, reset }: Pick<ErrorComponentProps, 'error' | 'reset'>) {
  return (
    <PageFrame title="This page failed">
      <Alert color="red" role="alert" title="Something in this page broke" data-testid="page-failed">
        <p>{error instanceof Error ? error.message : String(error)}</p>
        <p>
          Nothing on the coordinator is changed by that. If the coordinator was upgraded since this page was opened,
          loading it again helps; if it breaks again, please report it with what you did.
        </p>
        <Button.Group>
          <Button size="xs" variant="default" onClick={() => window.location.reload()}>
            Load again
          </Button>
          <Button size="xs" variant="default" onClick={reset}>
            Try without loading
          </Button>
        </Button.Group>
      </Alert>
    </PageFrame>
  );
}
