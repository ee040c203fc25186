/** What operators send about versions and channels. */

import 'reflect-metadata';
import { IsOptional, IsString, Length, Matches } from 'class-validator';

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

/** `POST /versions/:id/revocation`. */
export class RevocationRequest {
  /** Told to whoever asks for its files. */
  @IsString() @Length(3, 500) reason!: string;
}

/** `PUT /versions/:id/deprecation`. */
export class DeprecationRequest {
  /** For those who use it: what to use instead, and why. */
  @IsString() @Length(3, 500) note!: string;
}
