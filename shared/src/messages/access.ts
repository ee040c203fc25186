/** What users and administrators send. Limits of length keep a request from costing more than its answer is worth. */

import 'reflect-metadata';
import {
  ArrayMaxSize,
  ArrayMinSize,
  ArrayUnique,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsOptional,
  IsString,
  Length,
  Matches,
  Max,
  Min,
} from 'class-validator';
import { permissions, roles, type Permission, type Role } from '../api/access.js';

const DAY_SECONDS = 24 * 3600;
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const NAME_MESSAGE = { message: 'name must be lower-case letters, digits, dots, hyphens and underscores' };
const RUN_ID = /^[\w-]{1,64}$/;
const TOTP_CODE = /^\d{6}$/;

/** `POST /setup`: the holder of a set-up link sets a password. */
export class SetupRequest {
  @IsString() @Length(10, 200) token!: string;
  @IsString() @Length(1, 256) password!: string;
}

/** `POST /sign-in`. */
export class SignInRequest {
  @IsString() @Length(1, 64) name!: string;
  @IsString() @Length(1, 256) password!: string;
  /** Six digits of the authenticator, or a recovery code; only with a second factor. */
  @IsOptional() @IsString() @Length(1, 64) code?: string;
}

/** `POST /sign-in/provider/answer`: with what the identity provider sent the browser back. */
export class ProviderAnswer {
  /** The address's query, without its question mark: `code=…&state=…`. */
  @IsString() @Length(1, 8192) query!: string;
}

/** `PUT /me/password`. */
export class PasswordRequest {
  @IsString() @Length(1, 256) password!: string;
  @IsString() @Length(1, 256) newPassword!: string;
}

/** `POST /me/totp/confirmation`. */
export class TotpConfirmation {
  @Matches(TOTP_CODE, { message: 'code must be six digits' }) code!: string;
}

/** `POST /me/totp` and `POST /me/totp/removal`: what somebody at an open screen does not know. */
export class PasswordProof {
  @IsString() @Length(1, 256) password!: string;
}

/** `POST /users`. */
export class NewUser {
  @Matches(NAME, NAME_MESSAGE) name!: string;
  @IsIn(roles) role!: Role;
  /** Runs that the user is limited to; default: no limit. */
  @IsOptional() @IsArray() @ArrayMaxSize(100) @ArrayUnique() @Matches(RUN_ID, { each: true }) runs?: string[] | null;
}

/** `PATCH /users/:id`: what is given changes. */
export class UserChange {
  @IsOptional() @IsIn(roles) role?: Role;
  /** `null`: no limit. */
  @IsOptional() @IsArray() @ArrayMaxSize(100) @ArrayUnique() @Matches(RUN_ID, { each: true }) runs?: string[] | null;
  @IsOptional() @IsBoolean() disabled?: boolean;
}

/** `POST /users/:id/link`. */
export class LinkRequest {
  /** Take the second factor away as well: for a lost authenticator. */
  @IsOptional() @IsBoolean() removeSecondFactor?: boolean;
}

/** `POST /tokens`. */
export class NewTokenRequest {
  /** For people: what it is for. */
  @IsString() @Length(1, 100) name!: string;
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(permissions.length)
  @ArrayUnique()
  @IsIn(permissions, { each: true })
  permissions!: Permission[];
  @IsOptional() @IsArray() @ArrayMaxSize(100) @ArrayUnique() @Matches(RUN_ID, { each: true }) runs?: string[] | null;
  /** Default: 90 days; a year at most. */
  @IsOptional() @IsInt() @Min(60) @Max(366 * DAY_SECONDS) lifetimeSeconds?: number;
}
