import { Alert, Button } from '@mantine/core';
import { ApiProblem } from '@fedlora/shared/client';

interface LoadErrorProps {
  readonly error: Error;
  readonly isTrying: boolean;
  readonly onRetry: () => void;
}

/** In place of values that could not be loaded: whose fault it is, and what to do. */
export function LoadError({ error, isTrying, onRetry }: LoadErrorProps) {
  const isAnswer = error instanceof ApiProblem;
  return (
    <Alert
      color="red"
      role="alert"
      title={isAnswer ? 'The coordinator answered with an error' : 'The coordinator cannot be reached'}
      data-testid="load-error"
    >
      {isAnswer && <p>{error.message}</p>}
      <p>
        {isAnswer
          ? (error.remedy ?? 'Its log has the details.')
          : 'Check that it runs and that this machine can reach it. The page tries again by itself.'}
      </p>
      <Button size="xs" variant="default" onClick={onRetry} loading={isTrying}>
        Try now
      </Button>
    </Alert>
  );
}
