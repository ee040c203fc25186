/** The client's half of a round, as checked at the coordinator's edge. */

import 'reflect-metadata';
import { privacyUnits, type PrivacyUnit } from '@fedlora/protocol';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  IsArray,
  IsIn,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import {
  clientStates,
  MOST_DECLARED_COSTS,
  requestPhases,
  type ClientState,
  type RequestPhase,
} from '../wire/session.js';
import { IsByteArray } from './is-byte-array.js';

export class CostMessage {
  @IsIn(privacyUnits) unit!: PrivacyUnit;
  @IsNumber() @Min(0) @Max(2 ** 20) noiseMultiplier!: number;
  @IsNumber() @Min(0) @Max(1) samplingRate!: number;
  @IsInt() @Min(0) @Max(2 ** 40) steps!: number;
}

export class DeclaredBudgetMessage {
  @IsNumber() @Min(0) @Max(1e6) epsilonCap!: number;
  @IsNumber() @Min(0) @Max(1) maximumDelta!: number;
  @IsArray()
  @ArrayMaxSize(MOST_DECLARED_COSTS)
  @ValidateNested({ each: true })
  @Type(() => CostMessage)
  spent!: CostMessage[];
  @IsArray()
  @ArrayMaxSize(MOST_DECLARED_COSTS)
  @ValidateNested({ each: true })
  @Type(() => CostMessage)
  elsewhere!: CostMessage[];
}

export class SessionHelloMessage {
  @IsInt()
  @Min(0)
  @Max(1_000_000)
  wireVersion!: number;

  @IsString()
  @Length(1, 40)
  clientVersion!: string;

  @IsIn(clientStates)
  state!: ClientState;

  @Matches(/^[a-z0-9.:-]{1,40}$/, { message: 'device must be a short word' })
  device!: string;

  @IsOptional()
  @IsObject()
  @ValidateNested()
  @Type(() => DeclaredBudgetMessage)
  budget?: DeclaredBudgetMessage;
}

export class SessionStateMessage {
  @IsIn(clientStates)
  state!: ClientState;
}

export class RoundReplyMessage {
  @IsString()
  @Length(1, 80)
  roundId!: string;

  @IsIn(requestPhases)
  phase!: RequestPhase;

  @IsByteArray({ maximumBytes: 4 * 1024 * 1024 })
  message!: Uint8Array;
}

export class RoundDeclineMessage {
  @IsString()
  @Length(1, 80)
  roundId!: string;

  @Matches(/^[a-z-]{1,40}\/[a-z0-9-]{1,60}$/, { message: 'code must be an error code' })
  code!: string;
}
