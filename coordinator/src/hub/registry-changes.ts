import type { Announcements } from '../observe/announcements.js';

/** Tells those who wait that a channel may have another version. */
export class RegistryChanges {
  private tell: () => void = () => undefined;
  /** One for all who wait, so that waiting without a change piles nothing up. */
  private change = this.nextChange();

  constructor(announcements: Pick<Announcements, 'listen'>) {
    for (const name of ['version.published', 'version.changed', 'repository.changed'] as const) {
      announcements.listen(name, () => {
        this.tell();
        this.change = this.nextChange();
      });
    }
  }

  /** Resolves at the next change. Asked for before looking, so that none falls in between. */
  next(): Promise<void> {
    return this.change;
  }

  private nextChange(): Promise<void> {
    return new Promise((resolve) => (this.tell = resolve));
  }
}
