/** Things that are done one after the other, each whatever became of the one before. */
export class Turns {
  private tail: Promise<unknown> = Promise.resolve();

  /** Does something once everything before it is over. */
  take<Result>(work: () => Promise<Result>): Promise<Result> {
    const done = this.tail.then(work);
    this.tail = done.catch(() => undefined); // Whoever asked hears of it; the next has its turn.
    return done;
  }
}
