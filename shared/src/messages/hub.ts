/** What clients of the Hugging Face Hub send. */

import 'reflect-metadata';
import { ArrayMaxSize, IsArray, IsBoolean, IsOptional, IsString, MaxLength } from 'class-validator';

/** `POST /api/models/:owner/:name/paths-info/:revision`. */
export class PathsInfoRequest {
  @IsArray() @ArrayMaxSize(100) @IsString({ each: true }) @MaxLength(1000, { each: true }) paths!: string[];
  /** Tell the last commit of each. */
  @IsOptional() @IsBoolean() expand?: boolean;
}
