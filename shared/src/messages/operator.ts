/** What an operator sends besides run descriptions. */

import 'reflect-metadata';
import { IsBoolean, IsInt, IsOptional, IsString, Length, Matches, Max, MaxLength, Min } from 'class-validator';

/** `POST /invitations`. */
export class InvitationRequest {
  /** Only this organisation may use it. */
  @Matches(/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/, { message: 'name must be lower-case letters, digits and hyphens' })
  name!: string;

  /** Seconds until it expires; default one day. */
  @IsOptional()
  @IsInt()
  @Min(60)
  @Max(30 * 24 * 3600)
  lifetimeSeconds?: number;
}

export interface InvitationResponse {
  readonly id: string;
  /** Shown once; only its hash is stored. */
  readonly token: string;
  readonly expiresAt: number;
  /** What the client pins, 64 hex digits each; compare the federation's with your own `federation.pub`. */
  readonly coordinatorKey: string;
  readonly federationKey: string;
}

/** `POST /organisations/:name/suspend`. */
export class SuspensionRequest {
  /** Told to the organisation, too. */
  @IsOptional() @IsString() @Length(1, 200) reason?: string;
}

/** `POST /runs/:id/pause`. */
export class PauseRequest {
  /** Aborts the open round instead of letting it finish; default: no. Its noise may be charged all the same. */
  @IsOptional() @IsBoolean() abortRound?: boolean;
}

/** `PUT /revocations`: what `fedlora federation revoke` wrote. */
export class RevocationsRequest {
  @IsString()
  @MaxLength(300_000)
  revocations!: string;
}

/** `POST /organisations/:name/certificate`: the federation key's signature over name and identity. */
export class CertificateRequest {
  @Matches(/^[0-9a-f]{128}$/, { message: 'certificate must be 128 hex digits' })
  certificate!: string;
}
