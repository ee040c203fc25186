/** What operators send about versions and channels. */

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
  IsString,
  Length,
  Matches,
  Max,
  Min,
  NotEquals,
  ValidateNested,
} from 'class-validator';
import { MOST_CANARIES } from '@fedlora/protocol';
import { mergeMethods, type MergeMethod } from '../adapter/merge.js';

/** Lower-case words; never a version's id, nor a name with a meaning of its own. */
export const channelPattern = /^(?!main$)(?![0-9a-f]{40}$)[a-z](?:-?[a-z0-9]){0,39}$/;

/** As `1.2` or `v2-spring`; never a version's id, nor a name with a meaning of its own. */
export const tagPattern = /^(?!main$)(?![0-9a-f]{40}$)[a-z0-9](?:[._-]?[a-z0-9]){0,39}$/;

/** `PUT …/tags/:tag`. */
export class TagRequest {
  @Matches(/^[0-9a-f]{40}$/, { message: 'version must be 40 hex digits' }) version!: string;
}

/** `PUT …/channels/:channel`: promotes a version. */
export class PromotionRequest {
  @Matches(/^[0-9a-f]{40}$/, { message: 'version must be 40 hex digits' }) version!: string;
  /** Why it is promoted although the gate is not passed. */
  @IsOptional() @IsString() @Length(3, 500) override?: string;
}

/** A version with what it counts in a merge. */
export class MergeParentRequest {
  @Matches(/^[0-9a-f]{40}$/, { message: 'version must be 40 hex digits' }) version!: string;
  /** Below 0, what the adapter learned is taken away. */
  @IsNumber() @NotEquals(0) weight!: number;
}

/** `POST …/merges`. The first parent is a version of the repository, which gets the merge; the others may be of any. */
export class MergeRequest {
  @IsArray()
  @ArrayMinSize(2)
  @ArrayMaxSize(16)
  @ValidateNested({ each: true })
  @Type(() => MergeParentRequest)
  parents!: MergeParentRequest[];
  @IsIn(mergeMethods) method!: MergeMethod;
  /** Of the result, for `svd`; the largest of the parents' if absent. */
  @IsOptional() @IsInt() @Min(1) @Max(4096) rank?: number;
}

/** `POST /versions/:id/revocation`. */
export class RevocationRequest {
  /** Told to whoever asks for its files. */
  @IsString() @Length(3, 500) reason!: string;
}

/** `POST /versions/:id/audits`: what `fedlora audit measure` found, as counts. */
export class AuditFindingRequest {
  @Matches(/^[0-9a-f]{64}$/, { message: 'seal must be 64 hex digits' }) seal!: string;
  @IsInt() @Min(2) @Max(MOST_CANARIES) canaries!: number;
  /** At most `canaries`. */
  @IsInt() @Min(1) @Max(MOST_CANARIES) guesses!: number;
  /** At most `guesses`. */
  @IsInt() @Min(0) @Max(MOST_CANARIES) right!: number;
}

/** `PUT /versions/:id/deprecation`. */
export class DeprecationRequest {
  /** For those who use it: what to use instead, and why. */
  @IsString() @Length(3, 500) note!: string;
}
