/** The present state as the API and the live namespace show it. */

import {
  FedloraError,
  type OrganisationView,
  type Overview,
  type Page,
  type PageQuery,
  type RoundView,
  type RunView,
  type VersionView,
} from '@fedlora/shared';
import { pageBy, positionOf } from '../api/page.js';
import type { RoundService } from '../rounds/round.service.js';
import type { Budget } from '../runs/budget.js';
import type { RunService } from '../runs/run.service.js';
import { runView } from '../runs/run-view.js';
import type { Run, RunsRepository } from '../runs/runs.repository.js';
import { seesRun, type Operator } from '../access/principal.js';
import type { VersionsRepository } from '../adapters/versions.repository.js';
import type { OrganisationViews } from './organisation-views.js';

/** Of the newest run, as the overview shows them. */
const OVERVIEW_ROUNDS = 200;

/** What somebody is shown: only what the runs of a scope have to do with. */
export type Seen = Pick<Operator, 'runs'>;
export const EVERYTHING: Seen = { runs: null };

export interface ViewParts {
  readonly organisations: OrganisationViews;
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

  async overview(seen: Seen): Promise<Overview> {
    const { roundService, programVersion, now } = this.parts;
    const all = await this.runsOf(seen);
    const newest = all.at(0);
    return {
      organisations: await this.organisations(seen),
      runs: all.map((run) => this.ofRun(run)),
      rounds: newest === undefined ? [] : await roundService.viewsOf(newest.id, OVERVIEW_ROUNDS),
      version: programVersion,
      serverTime: now(),
    };
  }

  /** By name. */
  async organisations(seen: Seen): Promise<OrganisationView[]> {
    const isSeen = await this.memberTest(seen);
    return (await this.parts.organisations.list()).filter(({ name }) => isSeen(name));
  }

  /** Whether an organisation is in a run that is seen. */
  async memberTest(seen: Seen): Promise<(name: string) => boolean> {
    if (seen.runs === null) return () => true;
    const members = new Set((await this.runsOf(seen)).flatMap((run) => run.roster.members.map(({ name }) => name)));
    return (name) => members.has(name);
  }

  organisation(name: string): Promise<OrganisationView | undefined> {
    return this.parts.organisations.find(name);
  }

  /** Newest first. */
  async runs(seen: Seen): Promise<RunView[]> {
    return (await this.runsOf(seen)).map((run) => this.ofRun(run));
  }

  async run(id: string): Promise<RunView | undefined> {
    const run = await this.parts.runs.byId(id);
    return run === undefined ? undefined : this.ofRun(run);
  }

  /** Newest first. @throws FedloraError run/unknown */
  async roundsOf(runId: string, query: PageQuery): Promise<Page<RoundView>> {
    await this.parts.runService.find(runId);
    const before = positionOf(query);
    return pageBy(
      query,
      (limit) => this.parts.roundService.viewsOf(runId, limit, before),
      ({ number }) => number,
    );
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
    const { budget, runService, now } = this.parts;
    return runView(run, budget, runService.reasonOf(run), now());
  }

  private async runsOf(seen: Seen): Promise<Run[]> {
    return (await this.parts.runs.list()).filter((run) => seesRun(seen, run.id));
  }
}
