/** How the latest rounds went for each organisation: kept in memory, since it is asked for whenever one is shown. */

import type { OrganisationRound, RoundView } from '@fedlora/shared';
import type { RoundService } from '../rounds/round.service.js';
import type { Announcements } from './announcements.js';
import type { Log } from './log.js';

/** Of one organisation. */
const MOST_REMEMBERED = 10;
/** Rounds that a start looks back, over all runs. */
const ROUNDS_AT_START = 200;

export class TrackRecord {
  private readonly rounds = new Map<string, readonly OrganisationRound[]>();

  constructor(
    private readonly service: Pick<RoundService, 'view' | 'latestViews'>,
    private readonly announcements: Announcements,
    log: Log,
  ) {
    announcements.listen('round.changed', (id) => {
      this.service
        .view(id)
        .then((round) => {
          if (round !== undefined) this.add(round);
        })
        .catch((error: unknown) => log.error('track-record.round.failed', { roundId: id, err: error }));
    });
  }

  /** Looks back over the rounds that ended before this process started. */
  async load(): Promise<void> {
    for (const round of (await this.service.latestViews(ROUNDS_AT_START)).reverse()) this.add(round);
  }

  /** Newest first. */
  latestOf(name: string): readonly OrganisationRound[] {
    return this.rounds.get(name) ?? [];
  }

  private add(round: RoundView): void {
    const { id: roundId, runId, number, endedAt, phase } = round;
    if (endedAt === null || (phase !== 'done' && phase !== 'aborted')) return;
    for (const { name, status, reason } of round.participants) {
      const before = this.latestOf(name);
      // An end may be told twice when changes follow each other closely.
      if (before.some((known) => known.roundId === roundId)) continue;
      const failure = status === 'declined' || status === 'dropped' ? (reason ?? status) : null;
      const one: OrganisationRound = { roundId, runId, number, endedAt, outcome: phase, failure };
      this.rounds.set(name, [one, ...before].slice(0, MOST_REMEMBERED));
      // Its warnings may come, or go.
      if (failure !== null || before.some((known) => known.failure !== null))
        this.announcements.tell('organisation.changed', name);
    }
  }
}
