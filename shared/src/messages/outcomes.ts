/** What downstream services and operators send about outcomes. Numbers, and names that an operator declared: no text has a place. */

import 'reflect-metadata';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsIn,
  IsInt,
  IsNumber,
  IsOptional,
  Matches,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import { outcomeKinds, type OutcomeKind } from '../api/outcomes.js';

/** Lower-case words. */
export const metricPattern = /^[a-z](?:-?[a-z0-9]){0,39}$/;

const LARGEST_SCORE = 1e6;

export class OutcomeMetricRequest {
  @Matches(metricPattern, { message: 'name must be lower-case letters and digits with single hyphens between them' })
  name!: string;
  @IsIn(outcomeKinds) kind!: OutcomeKind;
  /** Of a score; a proportion has none. */
  @IsOptional() @IsNumber() @Min(-LARGEST_SCORE) @Max(LARGEST_SCORE) minimum?: number;
  @IsOptional() @IsNumber() @Min(-LARGEST_SCORE) @Max(LARGEST_SCORE) maximum?: number;
}

/** `PUT …/outcome-metrics`: all of them. */
export class OutcomeMetricsRequest {
  @IsArray()
  @ArrayMaxSize(20)
  @ValidateNested({ each: true })
  @Type(() => OutcomeMetricRequest)
  metrics!: OutcomeMetricRequest[];
}

/** Outcomes of one metric since the last report, added up. */
export class OutcomeRequest {
  @Matches(metricPattern, { message: 'metric must be the name of a declared metric' }) metric!: string;
  @IsInt() @Min(1) @Max(1e9) count!: number;
  /** Of a proportion, how many were. */
  @IsNumber() sum!: number;
  /** Of a score: the sum of squares. */
  @IsOptional() @IsNumber() @Min(0) sumOfSquares?: number;
}

/** `POST /versions/:id/outcomes`. */
export class OutcomesRequest {
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(20)
  @ValidateNested({ each: true })
  @Type(() => OutcomeRequest)
  outcomes!: OutcomeRequest[];
}
