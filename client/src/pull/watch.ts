/** Looks again and again, until it is told to stop. */

import { setTimeout as wait } from 'node:timers/promises';
import { FedloraError } from '@fedlora/shared';
import { Backoff } from '../connection/backoff.js';
import type { Loader } from './loaders.js';
import type { Pulled } from './puller.js';

export interface WatchParts {
  readonly pull: () => Promise<Pulled>;
  readonly loaders: readonly Loader[];
  /** Told after each look that came to something. */
  readonly onPulled: (pulled: Pulled) => void;
  /** Told of each failure; the next look comes all the same. */
  readonly onFailure: (error: FedloraError) => void;
  readonly intervalMs: number;
  readonly signal: AbortSignal;
}

/** A server that was not told of a version, since it did not answer, is told at the next look. */
export async function watch({ pull, loaders, onPulled, onFailure, intervalMs, signal }: WatchParts): Promise<void> {
  const states = loaders.map((): LoaderState => ({}));
  const backoff = new Backoff({ firstMs: Math.min(1000, intervalMs), mostMs: Math.max(intervalMs, 60_000) });
  while (!signal.aborted) {
    let hasFailed = false;
    try {
      const pulled = await pull();
      if (pulled.kind === 'switched' || (pulled.kind === 'empty' && pulled.removed !== null)) onPulled(pulled);
      for (const [i, loader] of loaders.entries()) {
        try {
          await tell(loader, states[i], pulled);
        } catch (error) {
          hasFailed = true;
          onFailure(FedloraError.from(error));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      hasFailed = true;
      onFailure(FedloraError.from(error));
    }
    if (!hasFailed) backoff.reset();
    await wait(hasFailed ? backoff.nextMs() : intervalMs, undefined, { signal }).catch(() => undefined);
  }
}

/** What a loader knows. */
export interface LoaderState {
  loaded?: string | undefined;
  /** Revoked, and not unloaded yet. */
  revoked?: string | undefined;
}

/** Tells a loader what it does not know yet. */
export async function tell(loader: Loader, state: LoaderState, pulled: Pulled): Promise<void> {
  if (pulled.kind === 'empty') {
    state.revoked = pulled.removed ?? state.revoked;
    if (state.revoked === undefined) return;
    await loader.unload(state.revoked);
    state.revoked = state.loaded = undefined;
    return;
  }
  state.revoked = undefined;
  if (state.loaded === pulled.id) return;
  await loader.load(pulled.id, pulled.folder);
  state.loaded = pulled.id;
}
