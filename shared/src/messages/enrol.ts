/** Enrolment and sign-in: who a client says it is, and how it proves that. */

import 'reflect-metadata';
import { IsInt, IsOptional, IsString, Length, Matches, Max, Min } from 'class-validator';

const HEX_KEY = /^[0-9a-f]{64}$/;
const HEX_SIGNATURE = /^[0-9a-f]{128}$/;

/** `POST /enrol`. `signature` is the identity key's over `enrolmentMessage`. */
export class EnrolRequest {
  @IsString()
  @Length(10, 200)
  token!: string;

  @Matches(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, { message: 'name must be lower-case letters, digits and hyphens' })
  name!: string;

  @Matches(HEX_KEY, { message: 'identity must be 64 hex digits' })
  identity!: string;

  @Matches(HEX_SIGNATURE, { message: 'signature must be 128 hex digits' })
  signature!: string;
}

export interface EnrolResponse {
  readonly name: string;
  /** The coordinator's Ed25519 key, 64 hex digits: the client pins it. */
  readonly coordinatorKey: string;
  readonly status: 'pending' | 'active';
}

/** `POST /session/challenge`. */
export class ChallengeRequest {
  @Matches(HEX_KEY, { message: 'identity must be 64 hex digits' })
  identity!: string;
}

export interface ChallengeResponse {
  /** 64 hex digits; valid once, for a minute. */
  readonly nonce: string;
}

/** `POST /session`: the nonce signed. */
export class SessionRequest {
  @Matches(HEX_KEY, { message: 'identity must be 64 hex digits' })
  identity!: string;

  @Matches(/^[0-9a-f]{64}$/, { message: 'nonce must be 64 hex digits' })
  nonce!: string;

  @Matches(HEX_SIGNATURE, { message: 'signature must be 128 hex digits' })
  signature!: string;

  @IsInt()
  @Min(0)
  @Max(1_000_000)
  wireVersion!: number;

  /** The client's clock as it sends this, Unix milliseconds: operators are shown how far it is off. Nothing else hangs on it. */
  @IsOptional()
  @IsInt()
  @Min(0)
  @Max(Number.MAX_SAFE_INTEGER)
  sentAt?: number;
}

export interface SessionResponse {
  /** Bearer token for the socket and for bulk; lives in memory only. */
  readonly token: string;
  readonly expiresAt: number;
}

/** `POST /leave`: the nonce of a challenge, signed. An organisation that is not certified yet, and so has no session, may leave, too. */
export class LeaveRequest {
  @Matches(HEX_KEY, { message: 'identity must be 64 hex digits' })
  identity!: string;

  @Matches(HEX_KEY, { message: 'nonce must be 64 hex digits' })
  nonce!: string;

  @Matches(HEX_SIGNATURE, { message: 'signature must be 128 hex digits' })
  signature!: string;
}

/** What the identity key signs to enrol: binds the name to the coordinator's invitation. */
export function enrolmentMessage(name: string, identity: string, token: string): string {
  return `fedlora/enrol/v1\n${name}\n${identity}\n${token}`;
}

/** What the identity key signs to open a session with the coordinator whose key is `coordinatorKey`. */
export function sessionMessage(identity: string, nonce: string, coordinatorKey: string): string {
  return `fedlora/session/v1\n${identity}\n${nonce}\n${coordinatorKey}`;
}

/** What the identity key signs to leave the federation of the coordinator whose key is `coordinatorKey`. */
export function leaveMessage(identity: string, nonce: string, coordinatorKey: string): string {
  return `fedlora/leave/v1\n${identity}\n${nonce}\n${coordinatorKey}`;
}
