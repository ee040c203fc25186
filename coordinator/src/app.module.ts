import { Module, type DynamicModule, type Type } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { ApiTokens } from './access/api-tokens.js';
import { Authenticator } from './access/authenticator.js';
import { MeController } from './access/me.controller.js';
import { ProviderController } from './access/provider.controller.js';
import { ProviderSignIn } from './access/provider-sign-in.js';
import { Admissions } from './access/admission.js';
import { RateLimits } from './access/rate-limits.js';
import { SignIns } from './access/sign-ins.js';
import { TokensController } from './access/tokens.controller.js';
import { UsersController } from './access/users.controller.js';
import { UserService } from './access/users.service.js';
import { VersionStore } from './adapters/version-store.js';
import { VersionsController } from './adapters/versions.controller.js';
import { DocsController } from './api/docs.controller.js';
import { Idempotency } from './api/idempotency.js';
import { OpenApiController } from './api/openapi.controller.js';
import { openApiDocument } from './api/openapi.js';
import { routeTable } from './api/routes.js';
import { AuditController } from './audit/audit.controller.js';
import { AuditLog } from './audit/audit-log.js';
import { EnrolmentController } from './enrolment/enrolment.controller.js';
import { EnrolmentService } from './enrolment/enrolment.service.js';
import { InvitationsController } from './enrolment/invitations.controller.js';
import { InvitationService } from './enrolment/invitations.service.js';
import { OrganisationsController } from './enrolment/organisations.controller.js';
import { StandingService } from './enrolment/standing.service.js';
import { AccessGuard } from './nest/access.guard.js';
import { BodyTypeGuard } from './nest/body-type.guard.js';
import { Downloads } from './hub/downloads.js';
import { HubController } from './hub/hub.controller.js';
import { SharedPieces } from './adapters/shared-pieces.js';
import { DriverGuard } from './nest/driver.guard.js';
import { HubFiles } from './hub/hub-files.js';
import { HubService } from './hub/hub.service.js';
import { RegistryChanges } from './hub/registry-changes.js';
import { IdempotencyInterceptor } from './nest/idempotency.interceptor.js';
import { expectSameRoutes } from './nest/route-key.js';
import { LOG, OPEN_API, PUBLIC_KEY } from './nest/tokens.js';
import { Announcements } from './observe/announcements.js';
import { LiveGateway } from './observe/live.gateway.js';
import type { Log } from './observe/log.js';
import { Metrics } from './observe/metrics.js';
import { Readiness } from './observe/readiness.js';
import { OrganisationViews } from './observe/organisation-views.js';
import { ObserveController } from './observe/observe.controller.js';
import type { TrackRecord } from './observe/track-record.js';
import { Views } from './observe/views.js';
import { ContributionController } from './rounds/contribution.controller.js';
import { ChannelViews } from './release/channel-views.js';
import { OutcomesController } from './outcomes/outcomes.controller.js';
import { OutcomesService } from './outcomes/outcomes.service.js';
import { MergeService } from './release/merge.service.js';
import type { Peers } from './relay/peers.js';
import type { Relay } from './relay/relay.js';
import { ReleaseService } from './release/release.service.js';
import { ReleaseViews } from './release/release-views.js';
import { ReleasesController } from './release/releases.controller.js';
import { RepositoriesController } from './release/repositories.controller.js';
import { SigningKeyController } from './release/signing-key.controller.js';
import { Driving } from './rounds/driving.js';
import { RoundService } from './rounds/round.service.js';
import { RunService } from './runs/run.service.js';
import { RunsController } from './runs/runs.controller.js';
import { ScheduleController } from './schedule/schedule.controller.js';
import { ScheduleService } from './schedule/schedule.service.js';
import { ClientGateway } from './session/client.gateway.js';
import { Presence } from './session/presence.js';
import { SessionController } from './session/session.controller.js';
import { SessionService } from './session/session.service.js';
import { Strangers } from './session/strangers.js';

/** What Nest's controllers and gateways need; `start-coordinator.ts` constructs it. */
export interface Parts {
  readonly announcements: Announcements;
  readonly apiTokens: ApiTokens;
  readonly audit: AuditLog;
  readonly authenticator: Authenticator;
  readonly channelViews: ChannelViews;
  readonly downloads: Downloads;
  readonly driving: Driving;
  readonly enrolment: EnrolmentService;
  readonly hub: HubService;
  readonly hubFiles: HubFiles;
  readonly idempotency: Idempotency;
  readonly invitations: InvitationService;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly organisationViews: OrganisationViews;
  readonly presence: Presence;
  readonly programVersion: string;
  /** Of the coordinator's key. */
  readonly publicKey: string;
  readonly providerSignIn: ProviderSignIn;
  readonly admissions: Admissions;
  readonly rateLimits: RateLimits;
  readonly readiness: Readiness;
  readonly mergeService: MergeService;
  readonly outcomesService: OutcomesService;
  readonly peers: Peers;
  readonly relay: Relay;
  readonly releaseService: ReleaseService;
  readonly releaseViews: ReleaseViews;
  readonly roundService: RoundService;
  readonly runService: RunService;
  readonly schedules: ScheduleService;
  readonly sessions: SessionService;
  readonly signIns: SignIns;
  readonly standing: StandingService;
  readonly trackRecord: TrackRecord;
  readonly users: UserService;
  readonly versionStore: VersionStore;
  readonly views: Views;
}

const controllers: Type[] = [
  EnrolmentController,
  InvitationsController,
  OrganisationsController,
  SessionController,
  RunsController,
  ScheduleController,
  ContributionController,
  VersionsController,
  ReleasesController,
  RepositoriesController,
  OutcomesController,
  SigningKeyController,
  HubController,
  ObserveController,
  MeController,
  ProviderController,
  UsersController,
  TokensController,
  AuditController,
  OpenApiController,
  DocsController,
];

/** The shell: routes and sockets over services that know nothing of Nest. */
@Module({})
export class AppModule {
  static over(parts: Parts): DynamicModule {
    expectSameRoutes(controllers, routeTable);
    return {
      module: AppModule,
      controllers,
      providers: [
        { provide: Announcements, useValue: parts.announcements },
        { provide: ApiTokens, useValue: parts.apiTokens },
        { provide: AuditLog, useValue: parts.audit },
        { provide: Authenticator, useValue: parts.authenticator },
        { provide: ChannelViews, useValue: parts.channelViews },
        { provide: Driving, useValue: parts.driving },
        { provide: Downloads, useValue: parts.downloads },
        { provide: EnrolmentService, useValue: parts.enrolment },
        { provide: HubFiles, useValue: parts.hubFiles },
        { provide: SharedPieces, useValue: new SharedPieces(parts.versionStore.blobs) },
        { provide: HubService, useValue: parts.hub },
        { provide: RegistryChanges, useValue: new RegistryChanges(parts.announcements) },
        { provide: Idempotency, useValue: parts.idempotency },
        { provide: InvitationService, useValue: parts.invitations },
        { provide: LOG, useValue: parts.log },
        { provide: Metrics, useValue: parts.metrics },
        { provide: OPEN_API, useValue: openApiDocument(parts.programVersion) },
        { provide: OrganisationViews, useValue: parts.organisationViews },
        { provide: PUBLIC_KEY, useValue: parts.publicKey },
        { provide: Presence, useValue: parts.presence },
        { provide: ProviderSignIn, useValue: parts.providerSignIn },
        { provide: Admissions, useValue: parts.admissions },
        { provide: RateLimits, useValue: parts.rateLimits },
        { provide: Strangers, useValue: new Strangers() },
        { provide: MergeService, useValue: parts.mergeService },
        { provide: OutcomesService, useValue: parts.outcomesService },
        { provide: ReleaseService, useValue: parts.releaseService },
        { provide: ReleaseViews, useValue: parts.releaseViews },
        { provide: Readiness, useValue: parts.readiness },
        { provide: RoundService, useValue: parts.roundService },
        { provide: RunService, useValue: parts.runService },
        { provide: ScheduleService, useValue: parts.schedules },
        { provide: SessionService, useValue: parts.sessions },
        { provide: SignIns, useValue: parts.signIns },
        { provide: StandingService, useValue: parts.standing },
        { provide: UserService, useValue: parts.users },
        { provide: VersionStore, useValue: parts.versionStore },
        { provide: Views, useValue: parts.views },
        ClientGateway,
        LiveGateway,
        { provide: APP_GUARD, useClass: DriverGuard },
        { provide: APP_GUARD, useClass: AccessGuard },
        { provide: APP_GUARD, useClass: BodyTypeGuard },
        { provide: APP_INTERCEPTOR, useClass: IdempotencyInterceptor },
      ],
    };
  }
}
