/** Looks again and again, until it is told to stop. */

import { setTimeout as wait } from 'node:timers/promises';
import { FedloraError } from '@fedlora/shared';
import { Backoff } from '../connection/backoff.js';
import type { Loader } from './loaders.js';
import type { Pulled } from './puller.js';

export interface WatchParts {
  readonly pull: () => Promise<Pulled>;
  /** Returns when the channel has another version than this one, or after so long. */
  readonly changed: (id: string | undefined, mostMs: number) => Promise<void>;
  readonly loaders: readonly Loader[];
  /** Told after each look that came to something. */
  readonly onPulled: (pulled: Pulled) => void;
  /** Told of each failure; the next look comes all the same. */
  readonly onFailure: (error: FedloraError) => void;
  /** Longest time between two looks. */
  readonly intervalMs: number;
  readonly signal: AbortSignal;
}

/** A server that was not told of a version, since it did not answer, or that has lost it in a restart, is told at the next look. */
export async function watch(parts: WatchParts): Promise<void> {
  const { pull, changed, loaders, onPulled, onFailure, intervalMs, signal } = parts;
  const states = loaders.map((): LoaderState => ({}));
  const backoff = new Backoff({ firstMs: Math.min(1000, intervalMs), mostMs: Math.max(intervalMs, 60_000) });
  while (!signal.aborted) {
    let hasFailed = false;
    let failure: unknown;
    let id: string | undefined;
    try {
      const pulled = await pull();
      if (pulled.kind !== 'empty') ({ id } = pulled);
      if (pulled.kind === 'switched' || (pulled.kind === 'empty' && pulled.removed !== null)) onPulled(pulled);
      for (const [i, loader] of loaders.entries()) {
        try {
          await tell(loader, states[i], pulled);
        } catch (error) {
          if (signal.aborted) return;
          hasFailed = true;
          onFailure(FedloraError.from(error));
        }
      }
    } catch (error) {
      if (signal.aborted) return;
      hasFailed = true;
      failure = error;
      onFailure(FedloraError.from(error));
    }
    if (hasFailed) {
      await wait(backoff.nextMs(failure), undefined, { signal }).catch(() => undefined);
      continue;
    }
    backoff.reset();
    await changed(id, intervalMs);
  }
}

/** What a loader knows. */
export interface LoaderState {
  loaded?: string | undefined;
  /** Revoked, and not unloaded yet. */
  revoked?: string | undefined;
}

/**
 * Tells a loader what it does not know yet.
 *
 * Guarantee  A revoked version is unloaded even where the one in its place cannot be loaded.
 */
export async function tell(loader: Loader, state: LoaderState, pulled: Pulled): Promise<void> {
  if (pulled.kind === 'empty') {
    state.revoked = pulled.removed ?? state.revoked;
    await unloadRevoked(loader, state);
    return;
  }
  if (pulled.kind === 'switched') state.revoked = pulled.revoked ?? state.revoked;
  const { id, folder } = pulled;
  if (state.loaded === id && ((await loader.isLoaded?.(id)) ?? true)) return;
  try {
    await loader.load(id, folder);
  } catch (error) {
    await unloadRevoked(loader, state);
    throw error;
  }
  state.loaded = id;
  state.revoked = undefined;
}

async function unloadRevoked(loader: Loader, state: LoaderState): Promise<void> {
  if (state.revoked === undefined) return;
  await loader.unload(state.revoked);
  state.revoked = state.loaded = undefined;
}
