/** The present state as the API and the live namespace show it. */

import { fingerprint } from '@fedlora/protocol';
import {
  FedloraError,
  type OrganisationView,
  type Overview,
  type RoundView,
  type RunView,
  type VersionView,
} from '@fedlora/shared';
import type { Organisation, OrganisationsRepository } from '../enrolment/organisations.repository.js';
import type { RoundService } from '../rounds/round.service.js';
import type { Budget } from '../runs/budget.js';
import type { RunService } from '../runs/run.service.js';
import { runView } from '../runs/run-view.js';
import type { Run, RunsRepository } from '../runs/runs.repository.js';
import type { Presence } from '../session/presence.js';
import type { VersionsRepository } from '../adapters/versions.repository.js';

/** Of the newest run, as the overview shows them. */
const OVERVIEW_ROUNDS = 200;
/** More rounds than any run has had; an answer must end somewhere. */
const MOST_ROUNDS = 10_000;

export interface ViewParts {
  readonly organisations: OrganisationsRepository;
  readonly presence: Presence;
  readonly runs: RunsRepository;
  readonly runService: RunService;
  readonly roundService: RoundService;
  readonly versions: VersionsRepository;
  readonly budget: Budget;
  readonly programVersion: string;
  readonly now: () => number;
}

export class Views {
  constructor(private readonly parts: ViewParts) {}

  async overview(): Promise<Overview> {
    const { runs, roundService, programVersion, now } = this.parts;
    const all = await runs.list();
    const newest = all.at(0);
    return {
      organisations: await this.organisations(),
      runs: all.map((run) => this.ofRun(run)),
      rounds: newest === undefined ? [] : await roundService.viewsOf(newest.id, OVERVIEW_ROUNDS),
      version: programVersion,
      serverTime: now(),
    };
  }

  async organisations(): Promise<OrganisationView[]> {
    return (await this.parts.organisations.list()).map((organisation) => this.ofOrganisation(organisation));
  }

  async organisation(name: string): Promise<OrganisationView | undefined> {
    const organisation = await this.parts.organisations.byName(name);
    return organisation === undefined ? undefined : this.ofOrganisation(organisation);
  }

  async runs(): Promise<RunView[]> {
    return (await this.parts.runs.list()).map((run) => this.ofRun(run));
  }

  async run(id: string): Promise<RunView | undefined> {
    const run = await this.parts.runs.byId(id);
    return run === undefined ? undefined : this.ofRun(run);
  }

  /** Newest first. @throws FedloraError run/unknown */
  async roundsOf(runId: string): Promise<RoundView[]> {
    await this.parts.runService.find(runId);
    return this.parts.roundService.viewsOf(runId, MOST_ROUNDS);
  }

  round(id: string): Promise<RoundView | undefined> {
    return this.parts.roundService.view(id);
  }

  /** @throws FedloraError version/unknown */
  async version(id: string): Promise<VersionView> {
    const version = await this.parts.versions.byId(id);
    if (version === undefined) throw new FedloraError('version/unknown');
    return version;
  }

  ofRun(run: Run): RunView {
    return runView(run, this.parts.budget, this.parts.runService.reasonOf(run));
  }

  private ofOrganisation(organisation: Organisation): OrganisationView {
    const { presence } = this.parts;
    const { name, identity } = organisation;
    return {
      name,
      fingerprint: fingerprint(identity),
      identity,
      status: organisation.certificate === null ? 'pending' : 'active',
      enrolledAt: organisation.enrolled_at,
      connected: presence.isConnected(name),
      state: presence.stateOf(name),
      lastSeenAt: presence.lastSeenAt(name) ?? organisation.last_seen_at,
      clientVersion: organisation.client_version,
      device: organisation.device,
    };
  }
}
