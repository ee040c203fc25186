/** What the page asks of the coordinator over HTTP. */

import type { Overview, routes, WireError } from '@fedlora/shared';

// Written out, since the runtime index of shared brings class-validator with it; the compiler keeps them equal.
const OVERVIEW_ROUTE = '/api/v1/overview' satisfies (typeof routes)['overview'];

/** The overview, with what is needed to read its times on this machine's clock. */
export interface OverviewState extends Overview {
  /** Coordinator's clock minus ours, milliseconds. */
  readonly clockOffsetMs: number;
}

/** The coordinator answered, and refused. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly remedy: string | null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export async function fetchOverview(token: string, signal: AbortSignal): Promise<OverviewState> {
  const askedAt = Date.now();
  const response = await fetch(OVERVIEW_ROUTE, {
    headers: { Authorization: `Bearer ${token}`, Accept: 'application/json' },
    cache: 'no-store',
    signal,
  });
  if (!response.ok) throw await readError(response);
  const overview = (await response.json()) as Overview;
  return { ...overview, clockOffsetMs: overview.serverTime - (askedAt + Date.now()) / 2 };
}

/** True for answers that another try with the same token cannot change. */
export function isRefusal(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 401 || error.status === 403);
}

async function readError(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as { error?: Partial<WireError> } | Partial<WireError> | null;
  const wire: Partial<WireError> =
    body !== null && 'error' in body && typeof body.error === 'object'
      ? body.error
      : ((body ?? {}) as Partial<WireError>);
  const message =
    typeof wire.message === 'string' ? wire.message : `The coordinator answered with status ${response.status}.`;
  return new ApiError(response.status, message, typeof wire.remedy === 'string' ? wire.remedy : null);
}
