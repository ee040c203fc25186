/** What has changed, for whoever shows it. Carries names only: listeners read the present value. */

import { EventEmitter } from 'node:events';

export interface AnnouncementEvents {
  'organisation.changed': [name: string];
  'run.changed': [runId: string];
  'round.changed': [roundId: string];
  'version.published': [versionId: string];
  /** Revoked, or deprecated. */
  'version.changed': [versionId: string];
  /** Its channels, above all. */
  'repository.changed': [repository: string];
  /** Rights or sign-ins of a user changed: whoever holds a connection open for it asks again. */
  'access.changed': [userId: string];
}

/** Tells listeners in this process. A listener must not throw and must not wait. */
export class Announcements {
  private readonly emitter = new EventEmitter<AnnouncementEvents>();

  tell<Name extends keyof AnnouncementEvents>(name: Name, id: string): void {
    // Safe: every event carries exactly one text.
    (this.emitter as EventEmitter).emit(name, id);
  }

  listen<Name extends keyof AnnouncementEvents>(name: Name, listener: (id: string) => void): void {
    (this.emitter as EventEmitter).on(name, listener);
  }
}
