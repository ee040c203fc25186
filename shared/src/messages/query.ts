/** What lists are asked for. Everything in a query is text; numbers are converted before they are checked. */

import 'reflect-metadata';
import { Type } from 'class-transformer';
import { IsIn, IsInt, IsOptional, IsString, Length, Matches, Max, Min } from 'class-validator';
import {
  invitationStatuses,
  organisationStatuses,
  type InvitationStatus,
  type OrganisationStatus,
} from '../api/organisations.js';
import { runStatuses, type RunStatus } from '../api/views.js';

/** The last instant of a `Date`: 13 September 275760. */
const MAXIMUM_TIME = 8.64e15;

/** A page of a list. */
export class PageQuery {
  /** Where the page before ended: its `nextCursor`. */
  @IsOptional()
  @IsString()
  @Matches(/^[\w-]{1,200}$/, { message: 'cursor must be the nextCursor of an answer' })
  cursor?: string;

  /** Most items of the answer; default 50. */
  @IsOptional() @Type(() => Number) @IsInt() @Min(1) @Max(200) limit?: number;
}

/** `GET /organisations`. */
export class OrganisationsQuery extends PageQuery {
  @IsOptional() @IsIn(organisationStatuses) status?: OrganisationStatus;
}

/** `GET /invitations`. */
export class InvitationsQuery extends PageQuery {
  @IsOptional() @IsIn(invitationStatuses) status?: InvitationStatus;
}

/** `GET /runs`. */
export class RunsQuery extends PageQuery {
  @IsOptional() @IsIn(runStatuses) status?: RunStatus;
}

/** `GET /calendar`: at most 100 days. */
export class CalendarQuery {
  /** Unix milliseconds, from inclusive to exclusive. */
  @Type(() => Number) @IsInt() @Min(0) @Max(MAXIMUM_TIME) from!: number;
  @Type(() => Number) @IsInt() @Min(0) @Max(MAXIMUM_TIME) to!: number;
  /** Of this run only. */
  @IsOptional() @IsString() @Length(1, 100) run?: string;
}

/** `GET /audit`: newest first. */
export class AuditQuery extends PageQuery {
  /** Of this kind, such as `run.started`; or of a family, such as `run.`. */
  @IsOptional() @IsString() @Length(1, 100) event?: string;
  /** By somebody of this name. */
  @IsOptional() @IsString() @Length(1, 100) actor?: string;
  /** Not before; Unix milliseconds. */
  @IsOptional() @Type(() => Number) @IsInt() @Min(0) @Max(Number.MAX_SAFE_INTEGER) from?: number;
  /** Before; Unix milliseconds. */
  @IsOptional() @Type(() => Number) @IsInt() @Min(0) @Max(Number.MAX_SAFE_INTEGER) to?: number;
}

/** `GET /audit/export`: JSON lines, oldest first, for `fedlora admin audit verify`. */
export class AuditExportQuery {
  /** Only what follows this entry; default: everything. */
  @IsOptional() @Type(() => Number) @IsInt() @Min(0) @Max(Number.MAX_SAFE_INTEGER) after?: number;
}
