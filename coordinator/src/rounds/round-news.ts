/** When a change of a round is told. Each tells every dashboard the whole round, and a thousand participants answer at once. */

/** Often enough for the eye. */
const QUIET_MS = 250;

export class RoundNews {
  /** Rounds that were told of lately: whether more has happened since. */
  private readonly quiet = new Map<string, { readonly timer: NodeJS.Timeout; hasMore: boolean }>();

  constructor(private readonly tell: (roundId: string) => void) {}

  /** At once: the round has entered another phase, or ended. */
  turned(roundId: string): void {
    this.forget(roundId);
    this.tellNow(roundId);
  }

  /** At once or a quarter of a second after the last time: something else about it is different. */
  stirred(roundId: string): void {
    const quiet = this.quiet.get(roundId);
    if (quiet === undefined) this.tellNow(roundId);
    else quiet.hasMore = true;
  }

  forget(roundId: string): void {
    clearTimeout(this.quiet.get(roundId)?.timer);
    this.quiet.delete(roundId);
  }

  close(): void {
    for (const roundId of [...this.quiet.keys()]) this.forget(roundId);
  }

  private tellNow(roundId: string): void {
    const timer = setTimeout(() => {
      const hasMore = this.quiet.get(roundId)?.hasMore === true;
      this.quiet.delete(roundId);
      if (hasMore) this.tellNow(roundId);
    }, QUIET_MS).unref();
    this.quiet.set(roundId, { timer, hasMore: false });
    this.tell(roundId);
  }
}
