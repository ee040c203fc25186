/**
 * When rounds of a run start, when none may, and when the run has had enough.
 *
 * Local times are those of the schedule's time zone, so that they keep their place in the working day when clocks change. A part that is
 * left out, or null, asks for nothing: a run without a schedule starts its rounds one after the other.
 */

import 'reflect-metadata';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsIn,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  IsPositive,
  IsString,
  Matches,
  Max,
  MaxLength,
  Min,
  ValidateNested,
} from 'class-validator';

export const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
export type Weekday = (typeof weekdays)[number];

export const progressMetrics = ['loss', 'accuracy'] as const;

const TIME = /^([01]\d|2[0-3]):[0-5]\d$/;
const DATE_AND_TIME = /^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d$/;
const time = { message: '$property must be a time such as 22:30' };
const dateAndTime = { message: '$property must be a date and time such as 2026-12-24T18:00' };
const DAY_SECONDS = 24 * 3600;

/** Every week at the same time: no round starts in it. */
export class WeeklyWindow {
  /** Days on which it begins. */
  @IsArray() @ArrayMinSize(1) @ArrayMaxSize(7) @ArrayUnique() @IsIn(weekdays, { each: true }) days!: Weekday[];
  @Matches(TIME, time) from!: string;
  /** If it is not after `from`, the window ends on the next day. */
  @Matches(TIME, time) until!: string;
}

/** Once: no round starts in it. */
export class OneOffWindow {
  @Matches(DATE_AND_TIME, dateAndTime) from!: string;
  @Matches(DATE_AND_TIME, dateAndTime) until!: string;
}

/** How many organisations a round starts with. */
export class QuorumRule {
  /** So many more than a round needs must be ready. Default: 0. */
  @IsOptional() @IsInt() @Min(0) @Max(4096) beyondThreshold?: number;
  /** How long to wait for all the others once there are enough. Default: a moment, for those who were here a moment ago. */
  @IsOptional() @IsInt() @Min(0) @Max(DAY_SECONDS) waitSeconds?: number;
}

/** What follows an aborted round: a pause, twice as long each time, and another attempt. */
export class RetryRule {
  /** Attempts at each time of `cron`. Default: 3. Without `cron` the run's `maximumConsecutiveAborts` is the limit. */
  @IsOptional() @IsInt() @Min(1) @Max(100) attempts?: number;
  /** Default: 30. */
  @IsOptional() @IsInt() @Min(1) @Max(DAY_SECONDS) firstPauseSeconds?: number;
  /** Default: 600, or the first pause if that is longer. */
  @IsOptional() @IsInt() @Min(1) @Max(DAY_SECONDS) longestPauseSeconds?: number;
}

/** The best of some rounds is hardly better than the best of all rounds before them. */
export class NoProgressRule {
  /** Rounds that held-out rows were measured in. */
  @IsInt() @Min(1) @Max(1000) rounds!: number;
  /** What would be progress: nats per answer token of the loss, or the fraction of exact answers. */
  @IsNumber() @IsPositive() @Max(1000) by!: number;
  /** Default: loss. */
  @IsOptional() @IsIn(progressMetrics) of?: (typeof progressMetrics)[number];
}

/** The run is completed by whichever holds first. */
export class StopRules {
  /** So many rounds are done. */
  @IsOptional() @IsInt() @Min(1) @Max(1_000_000) rounds?: number;
  /** The loss on held-out rows is this or less, nats per answer token. */
  @IsOptional() @IsNumber() @Min(0) @Max(1000) heldOutLoss?: number;
  /** The fraction of exact answers on held-out rows is this or more. */
  @IsOptional() @IsNumber() @IsPositive() @Max(1) heldOutAccuracy?: number;
  /** Another round would bring the run's epsilon over this. */
  @IsOptional() @IsNumber() @IsPositive() @Max(1000) epsilon?: number;
  @IsOptional() @ValidateNested() @Type(() => NoProgressRule) @IsObject() noProgress?: NoProgressRule;
}

/** `PUT /runs/:id/schedule`, and a part of a run description. */
export class RunSchedule {
  /** An IANA time zone, such as `Europe/Berlin`. Default: UTC. */
  @IsOptional()
  @Matches(/^[A-Za-z][\w+-]*(\/[\w+-]+)*$/, { message: '$property must be an IANA time zone such as Europe/Berlin' })
  @MaxLength(64)
  timeZone?: string;
  /** When rounds start: minute, hour, day of the month, month, day of the week. Default: when the round before has ended. */
  @IsOptional() @IsString() @MaxLength(200) cron?: string;
  /** How late a round may start after its time; then it is left out. Default: 60. */
  @IsOptional() @IsInt() @Min(1) @Max(7 * 24 * 60) startWithinMinutes?: number;
  @IsOptional()
  @ValidateNested({ each: true })
  @Type(() => WeeklyWindow)
  @IsArray()
  @ArrayMaxSize(14)
  weeklyWindows?: WeeklyWindow[];
  @IsOptional()
  @ValidateNested({ each: true })
  @Type(() => OneOffWindow)
  @IsArray()
  @ArrayMaxSize(50)
  windows?: OneOffWindow[];
  @IsOptional() @ValidateNested() @Type(() => QuorumRule) @IsObject() quorum?: QuorumRule;
  @IsOptional() @ValidateNested() @Type(() => RetryRule) @IsObject() retries?: RetryRule;
  @IsOptional() @ValidateNested() @Type(() => StopRules) @IsObject() stop?: StopRules;
}
