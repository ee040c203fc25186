/** The client's half of a round, as checked at the coordinator's edge. */

import 'reflect-metadata';
import { IsIn, IsInt, IsString, Length, Matches, Max, Min } from 'class-validator';
import { clientStates, requestPhases, type ClientState, type RequestPhase } from '../wire/session.js';
import { IsByteArray } from './is-byte-array.js';

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
