/** Live progress on a terminal (redrawn in place) or in a log (a line now and then). */

import type { RoundView, RunView } from '@fedlora/shared';

const BAR_WIDTH = 30;

/** Draws how far a run is. One instance for one run. */
export class Progress {
  private readonly startedAt = Date.now();
  private lines = 0;
  private lastLogged = -1;
  private lastDrawn = 0;
  private meanLoss: number | null = null;

  constructor(
    private readonly output: NodeJS.WriteStream,
    private readonly everyRounds: number,
  ) {}

  show(run: RunView, round: RoundView | undefined): void {
    if (round?.meanLoss != null) this.meanLoss = round.meanLoss;
    if (!this.output.isTTY) {
      this.log(run);
      return;
    }
    const now = Date.now();
    if (run.status === 'running' && now - this.lastDrawn < 100) return;
    this.lastDrawn = now;
    const text = [this.summary(run), `  ${describe(round)}`];
    this.output.write(
      `${this.lines > 0 ? `\x1b[${this.lines}A` : ''}${text.map((line) => `\x1b[2K${line.slice(0, 99)}\n`).join('')}`,
    );
    this.lines = text.length;
  }

  private log(run: RunView): void {
    const due = run.completedRounds % this.everyRounds === 0 || run.status !== 'running';
    if (!due || run.completedRounds === this.lastLogged) return;
    this.lastLogged = run.completedRounds;
    this.output.write(`${this.summary(run)}\n`);
  }

  private summary(run: RunView): string {
    const fraction = run.completedRounds / run.plannedRounds;
    const full = Math.round(BAR_WIDTH * fraction);
    const bar = '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full);
    const seconds = Math.round((Date.now() - this.startedAt) / 1000);
    const loss = this.meanLoss === null ? '   -' : this.meanLoss.toFixed(2);
    const epsilon = run.epsilon === null ? 'none' : run.epsilon.toFixed(2);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    return `  ${bar} round ${String(run.completedRounds).padStart(3)}/${run.plannedRounds}  loss ${loss}  epsilon ${epsilon}  ${clock}`;
  }
}

function describe(round: RoundView | undefined): string {
  if (round === undefined) return 'waiting for organisations';
  const cause = round.cause === null ? '' : ` (${round.cause})`;
  return `${round.phase}${cause}: ${round.participants.map((one) => `${one.name} ${one.status}`).join(', ')}`;
}
