import { Module, type DynamicModule } from '@nestjs/common';
import { VersionStore } from './adapters/version-store.js';
import { VersionsController } from './adapters/versions.controller.js';
import { EnrolmentController } from './enrolment/enrolment.controller.js';
import { EnrolmentService } from './enrolment/enrolment.service.js';
import { AnyoneGuard, ClientGuard, OperatorGuard } from './nest/access.guard.js';
import { LOG } from './nest/tokens.js';
import { Announcements } from './observe/announcements.js';
import { LiveGateway } from './observe/live.gateway.js';
import type { Log } from './observe/log.js';
import { Metrics } from './observe/metrics.js';
import { ObserveController } from './observe/observe.controller.js';
import { Views } from './observe/views.js';
import { ContributionController } from './rounds/contribution.controller.js';
import { RoundService } from './rounds/round.service.js';
import { RunService } from './runs/run.service.js';
import { RunsController } from './runs/runs.controller.js';
import { Access } from './session/access.js';
import { ClientGateway } from './session/client.gateway.js';
import { Presence } from './session/presence.js';
import { SessionController } from './session/session.controller.js';
import { SessionService } from './session/session.service.js';

/** What Nest's controllers and gateways need; `start-coordinator.ts` constructs it. */
export interface Parts {
  readonly access: Access;
  readonly announcements: Announcements;
  readonly enrolment: EnrolmentService;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly presence: Presence;
  readonly roundService: RoundService;
  readonly runService: RunService;
  readonly sessions: SessionService;
  readonly versionStore: VersionStore;
  readonly views: Views;
}

/** The shell: routes and sockets over services that know nothing of Nest. */
@Module({})
export class AppModule {
  static over(parts: Parts): DynamicModule {
    return {
      module: AppModule,
      controllers: [
        EnrolmentController,
        SessionController,
        RunsController,
        ContributionController,
        VersionsController,
        ObserveController,
      ],
      providers: [
        { provide: Access, useValue: parts.access },
        { provide: Announcements, useValue: parts.announcements },
        { provide: EnrolmentService, useValue: parts.enrolment },
        { provide: LOG, useValue: parts.log },
        { provide: Metrics, useValue: parts.metrics },
        { provide: Presence, useValue: parts.presence },
        { provide: RoundService, useValue: parts.roundService },
        { provide: RunService, useValue: parts.runService },
        { provide: SessionService, useValue: parts.sessions },
        { provide: VersionStore, useValue: parts.versionStore },
        { provide: Views, useValue: parts.views },
        ClientGateway,
        LiveGateway,
        OperatorGuard,
        ClientGuard,
        AnyoneGuard,
      ],
    };
  }
}
