/**
 * Waits until a channel may have another version, by asking for the manifest that it has with the preference to wait (RFC 7240): the
 * coordinator answers when there is another one, or when the time is over. One request a minute, and no version is noticed late.
 */

import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import type { PullParts, PullTarget } from './puller.js';

/** Below what a proxy, or our own `Http`, takes for silence. */
const LONGEST_WAIT_S = 45;
/** A server that answers sooner and changed nothing did not wait. */
const LEAST_WAITED = 0.5;

export class ChannelWait {
  /** The version that was looked at last, and the entity tag of its manifest. */
  private known: { readonly id: string; readonly tag: string } | undefined;

  constructor(
    private readonly target: Pick<PullTarget, 'repository' | 'revision'>,
    private readonly parts: PullParts,
  ) {}

  /**
   * Returns when the channel has another version than `id`, when something stood in the way of asking, or after `mostMs`. Without an
   * id, or with a server that does not wait, that is after `mostMs`. Never throws: the next look finds out.
   */
  async changed(id: string | undefined, mostMs: number): Promise<void> {
    const end = performance.now() + mostMs;
    const left = (): number => end - performance.now();
    const rest = (): Promise<void> =>
      wait(Math.max(0, left()), undefined, { signal: this.parts.signal }).catch(() => undefined);
    if (id === undefined) return rest();
    while (left() > 0 && this.parts.signal?.aborted !== true) {
      const asked = performance.now();
      const seconds = Math.max(1, Math.min(LONGEST_WAIT_S, Math.ceil(left() / 1000)));
      const tag = this.known?.id === id ? this.known.tag : undefined;
      const answer = await this.ask(tag, seconds);
      if (answer === 'trouble') return rest();
      if (answer !== 'same') {
        if (answer.id !== id) return;
        this.known = { id, tag: answer.tag };
      }
      // It was not asked to wait while the tag was unknown.
      if (tag !== undefined && performance.now() - asked < LEAST_WAITED * 1000 * seconds) return rest();
    }
  }

  private async ask(
    tag: string | undefined,
    seconds: number,
  ): Promise<'same' | 'trouble' | { readonly id: string | null; readonly tag: string }> {
    const { repository, revision } = this.target;
    const { http, token, signal } = this.parts;
    try {
      const response = await http.send({
        method: 'GET',
        path: `/${repository}/resolve/${encodeURIComponent(revision)}/manifest.json`,
        headers: tag === undefined ? {} : { 'if-none-match': tag, prefer: `wait=${seconds}` },
        token,
        signal,
      });
      await response.body?.cancel();
      if (response.status === 304) return 'same';
      // What the channel has was taken back: the next look says so.
      if (response.status === 404 || response.status === 410) return tag === undefined ? 'trouble' : { id: null, tag };
      if (!response.ok) return 'trouble';
      return { id: response.headers.get('x-repo-commit'), tag: response.headers.get('etag') ?? '' };
    } catch {
      return 'trouble';
    }
  }
}
