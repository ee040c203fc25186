/** One timer for each open round. */

/** Node's timers hold no more than this; a later deadline is armed again when it is near. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** By which a timer may run before its time as the clock has it, since the two cut their milliseconds differently. */
const EARLY_MS = 1;

export class Deadlines {
  private readonly timers = new Map<string, NodeJS.Timeout>();

  constructor(private readonly now: () => number) {}

  /** Calls `passed` once at `at`, unless it is armed anew or disarmed before. */
  arm(id: string, at: number, passed: () => void): void {
    this.disarm(id);
    const left = Math.max(0, at - this.now());
    const timer = setTimeout(
      () => {
        if (left > LONGEST_TIMER_MS) this.arm(id, at, passed);
        else {
          this.timers.delete(id);
          passed();
        }
      },
      Math.min(left + EARLY_MS, LONGEST_TIMER_MS),
    );
    this.timers.set(id, timer);
  }

  disarm(id: string): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
  }

  disarmAll(): void {
    for (const id of [...this.timers.keys()]) this.disarm(id);
  }
}
