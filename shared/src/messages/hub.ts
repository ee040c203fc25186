/** What clients of the Hugging Face Hub send. */

import 'reflect-metadata';
import { Transform } from 'class-transformer';
import { ArrayMaxSize, IsArray, IsBoolean, IsOptional, IsString, MaxLength } from 'class-validator';

/** `POST /api/models/:owner/:name/paths-info/:revision`. */
export class PathsInfoRequest {
  /** A form cannot tell a list of one from a text. */
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? [value] : value))
  @IsArray()
  @ArrayMaxSize(100)
  @IsString({ each: true })
  @MaxLength(1000, { each: true })
  paths!: string[];
  /** Tell the last commit of each. */
  @Transform(({ value }: { value: unknown }) => (typeof value === 'string' ? /^true$/i.test(value) : value))
  @IsOptional()
  @IsBoolean()
  expand?: boolean;
}
