import { Skeleton } from '@mantine/core';

interface LoadingProps {
  /** For readers of the screen. */
  readonly what: string;
  /** Of the bars, in pixels: about those of what is to come, so that little moves when it does. */
  readonly heights: readonly number[];
}

/** In place of what was asked for. */
export function Loading({ what, heights }: LoadingProps) {
  return (
    <div className="loading" role="status" aria-busy="true" aria-label={`Loading ${what}`} data-testid="loading">
      {heights.map((height, i) => (
        <Skeleton key={i} height={height} />
      ))}
    </div>
  );
}
