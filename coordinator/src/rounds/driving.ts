/**
 * Whether this process drives the rounds, or stands by for the one that does.
 *
 * A process that has lost its lease is of no more use: what it has in memory may be wrong. It ends, and its service manager starts it
 * again, to stand by.
 */

import { FedloraError } from '@fedlora/shared';
import type { Log } from '../observe/log.js';
import { LOOK_MS, standingBy, type DriverLease, type Holder } from '../storage/lease.js';

/** Within a lease: it outlives two renewals that failed. */
const RENEWALS = 3;

export interface DrivingParts {
  /** `undefined`: there is nobody to share with. */
  readonly lease: DriverLease | undefined;
  /** Goes on with what is stored, as a start does. */
  readonly takeUp: () => Promise<void>;
  /** Told at each look who else drives; `undefined`: nobody does. */
  readonly follow: (holder: Holder | undefined) => void;
  /** From now on this process drives. */
  readonly onDriving: () => void;
  /** Another drives, or driving could not be taken up: the process has to end. */
  readonly onLost: (reason: FedloraError) => void;
  readonly log: Log;
}

export class Driving {
  /** Whether it drives now. */
  isDriving = false;
  /** How often it took over while it stood by, and not at its start. */
  takeovers = 0;
  private isClosed = false;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> = Promise.resolve();

  constructor(private readonly parts: DrivingParts) {}

  /** Drives from now on, or stands by. @throws what taking up throws, at the start */
  async begin(): Promise<void> {
    const { lease, takeUp, follow, log } = this.parts;
    if (lease === undefined || (await lease.tryTake())) {
      await takeUp();
      this.drive();
    } else {
      log.info('coordinator.standing-by');
      follow(lease.heldBy);
    }
    if (lease !== undefined) this.lookAgain(lease);
  }

  /** @throws FedloraError coordinator/standing-by */
  expectDriving(): void {
    if (!this.isDriving) throw standingBy();
  }

  /** Neither takes over nor renews any more; `abruptly` without waiting for what is being done. */
  async close({ abruptly }: { readonly abruptly: boolean }): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.timer);
    if (!abruptly) await this.looking;
  }

  /** When nothing of it goes on any more: without this the others wait until the lease has run out, as after a crash. */
  async giveBack(): Promise<void> {
    await this.parts.lease?.giveBack();
  }

  private lookAgain(lease: DriverLease): void {
    if (this.isClosed) return;
    this.timer = setTimeout(
      () => {
        this.looking = this.look(lease).then(() => this.lookAgain(lease));
      },
      Math.min(LOOK_MS, lease.lengthMs / RENEWALS),
    );
  }

  private async look(lease: DriverLease): Promise<void> {
    try {
      if (this.isDriving) {
        if (!(await lease.renew())) this.lose(standingBy('Another coordinator drives the rounds now.'));
      } else {
        const isTaken = await lease.tryTake();
        this.parts.follow(lease.heldBy);
        if (isTaken) await this.takeOver();
      }
    } catch (error) {
      // The database does not answer, so nobody else takes the lease either.
      this.parts.log.warn('coordinator.lease.failed', { code: FedloraError.from(error).code, err: error });
    }
  }

  private async takeOver(): Promise<void> {
    try {
      await this.parts.takeUp();
      this.drive();
      this.takeovers += 1;
      this.parts.log.info('coordinator.took-over');
    } catch (error) {
      this.lose(FedloraError.from(error));
    }
  }

  private drive(): void {
    this.isDriving = true;
    this.parts.onDriving();
  }

  private lose(reason: FedloraError): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.isDriving = false;
    this.parts.log.error('coordinator.lease.lost', { code: reason.code, err: reason });
    this.parts.onLost(reason);
  }
}
