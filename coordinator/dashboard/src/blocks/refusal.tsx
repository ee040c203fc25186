import { Alert } from '@mantine/core';
import { explain } from '../api.js';

/** Why the coordinator did not do what it was asked, and what to do; nothing while there is no error. */
export function Refusal({ error, title }: { error: unknown; title: string }) {
  if (error === null || error === undefined) return null;
  return (
    <Alert color="red" role="alert" title={title} data-testid="refusal">
      {explain(error)}
    </Alert>
  );
}
