/**
 * A run as an operator describes it, before it becomes a manifest.
 *
 * The coordinator adds what it knows (run id, roster, module shapes, encoding) and signs the result.
 */

import 'reflect-metadata';
import {
  aggregationRules,
  dataFormats,
  privacyUnits,
  type AggregationRule,
  type DataFormat,
  type PrivacyUnit,
} from '@fedlora/protocol';
import { Type } from 'class-transformer';
import {
  ArrayMaxSize,
  ArrayMinSize,
  IsArray,
  IsBoolean,
  IsIn,
  IsInt,
  IsNumber,
  IsObject,
  IsOptional,
  IsPositive,
  IsString,
  Length,
  Matches,
  Max,
  Min,
  ValidateNested,
} from 'class-validator';
import { LONGEST_REPOSITORY_NAME, repositoryPattern, repositoryRule } from './repository.js';
import { RunSchedule } from './schedule.js';

/** The hyper-parameters of the base model that fix the adapter's shapes, under the names of Hugging Face's config.json. */
export class BaseShape {
  @IsInt() @Min(1) @Max(1 << 20) hidden_size!: number;
  @IsInt() @Min(1) @Max(1 << 20) intermediate_size!: number;
  @IsInt() @Min(1) @Max(1000) num_hidden_layers!: number;
  @IsInt() @Min(1) @Max(1024) num_attention_heads!: number;
  @IsInt() @Min(1) @Max(1024) num_key_value_heads!: number;
  @IsOptional() @IsInt() @Min(1) @Max(4096) head_dim?: number;
  /** Shapes nothing of the adapter: with it, a plan counts the memory of embedding, head and logits as well. */
  @IsOptional() @IsInt() @Min(1) @Max(1 << 22) vocab_size?: number;
  /** Whether embedding and head are one table. Default: two, of which a plan counts both. */
  @IsOptional() @IsBoolean() tie_word_embeddings?: boolean;
}

export class BaseDescription {
  /** Name under which downstream services know the base model. */
  @IsString() @Length(1, 200) name!: string;
  /** `fedlora base digest DIR` prints it. */
  @Matches(/^[0-9a-f]{64}$/, { message: 'digest must be 64 hex digits (fedlora base digest DIR prints it)' })
  digest!: string;
  @IsObject() @ValidateNested() @Type(() => BaseShape) shape!: BaseShape;
}

export class AdapterDescription {
  @IsIn(aggregationRules) rule!: AggregationRule;
  @IsInt() @Min(1) @Max(1024) r!: number;
  @IsNumber() @IsPositive() lora_alpha!: number;
  /** Module suffixes, or exactly `["all-linear"]`. */
  @IsArray() @ArrayMinSize(1) @ArrayMaxSize(32) @IsString({ each: true }) target_modules!: string[];
  /** Rounds between re-basings by SVD; 0 never. */
  @IsInt() @Min(0) @Max(1_000_000) rebaseEvery!: number;
}

export class DataDescription {
  @IsIn(dataFormats) format!: DataFormat;
  /** Of format `messages`, and only there. */
  @IsOptional()
  @Matches(/^[0-9a-f]{64}$/, {
    message: 'chatTemplate must be 64 hex digits (fedlora base digest --chat-template DIR)',
  })
  chatTemplate?: string;
  @IsInt() @Min(8) @Max(131_072) maximumLength!: number;
}

export class PrivacyDescription {
  @IsIn(privacyUnits) unit!: PrivacyUnit;
  @IsNumber() @IsPositive() l2Bound!: number;
  @IsNumber() @Min(0) @Max(1000) noiseMultiplier!: number;
  @IsNumber() @Min(0) @Max(0.5) delta!: number;
  @IsInt() @Min(1) @Max(4095) assumedColluders!: number;
  /** Default: the threshold; above 128 organisations nine tenths of them, where a graph of bearable size allows it. */
  @IsOptional() @IsInt() @Min(2) @Max(4096) minimumContributors?: number;
}

export class TrainingDescription {
  @IsIn(['record-step', 'local-steps', 'local-record-steps'])
  kind!: 'record-step' | 'local-steps' | 'local-record-steps';
  /** `record-step`: of a round, over all organisations. `local-record-steps`: of one step in one organisation. */
  @IsOptional() @IsNumber() @IsPositive() @Max(1) samplingRate?: number;
  @IsOptional() @IsNumber() @IsPositive() expectedRecords?: number;
  /** Of one organisation. */
  @IsOptional() @IsInt() @Min(1) maximumRecords?: number;
  /** `local-steps` and `local-record-steps`. */
  @IsOptional() @IsInt() @Min(1) steps?: number;
  @IsOptional() @IsNumber() @IsPositive() learningRate?: number;
  /** `local-steps`. */
  @IsOptional() @IsInt() @Min(1) batchSize?: number;
  @IsOptional() @IsNumber() @IsPositive() maximumGradientNorm?: number;
  /** `local-record-steps`. Default: `sgd`, whose noise in the mean is known to the server's optimizer. */
  @IsOptional() @IsIn(['sgd', 'adamw']) optimizer?: 'sgd' | 'adamw';
  /** `local-record-steps`: norm that a round's difference is clipped to. Default: the longest that the terms make likely. */
  @IsOptional() @IsNumber() @IsPositive() updateBound?: number;
}

export class ClippingMetricDescription {
  /** Fraction of gradients (unit "client": of updates) that should be within the clip. */
  @IsNumber() @IsPositive() @Max(1) quantile!: number;
  /** How far the suggested bound may be from this run's, in powers of e. Default: 1. */
  @IsOptional() @IsNumber() @IsPositive() @Max(10) learningRate?: number;
}

export class EvaluationDescription {
  /** Expected fraction of the rows that each organisation holds out from training and measures the adapter on. */
  @IsNumber() @IsPositive() @Max(0.5) fraction!: number;
}

/** What the organisations measure beside losses and counts: inside the masked sum, under its noise. */
export class MetricsDescription {
  /** Tells how many gradients were within the clip, and so which bound would be right for the next run. */
  @IsOptional()
  @ValidateNested()
  @Type(() => ClippingMetricDescription)
  @IsObject()
  clipping?: ClippingMetricDescription;
  @IsOptional() @ValidateNested() @Type(() => EvaluationDescription) @IsObject() evaluation?: EvaluationDescription;
}

export class ServerDescription {
  @IsIn(['sgd', 'adam']) kind!: 'sgd' | 'adam';
  @IsNumber() @IsPositive() learningRate!: number;
  @IsNumber() @Min(0) @Max(1) finalLearningRateFraction!: number;
  @IsNumber() @Min(0) @Max(1) beta1!: number;
  @IsNumber() @Min(0) @Max(1) beta2!: number;
}

/** Who shares secrets with whom above 128 organisations. `protocol/SPEC.md`, section 10, says what the numbers mean. */
export class GraphDescription {
  @IsInt() @Min(2) @Max(320) neighbours!: number;
  @IsInt() @Min(2) @Max(320) threshold!: number;
  @IsInt() @Min(0) @Max(4) silent!: number;
}

/** Milliseconds that each phase waits for its last organisation; of one that is left out, the default. */
export class DeadlinesDescription {
  /** Default: 30 000. */
  @IsOptional() @IsInt() @Min(100) advertising?: number;
  /** Only above 128 organisations. Default: as `advertising`. */
  @IsOptional() @IsInt() @Min(100) revealing?: number;
  /** Default: 30 000. */
  @IsOptional() @IsInt() @Min(100) sharing?: number;
  /** Default: 120 000. Whoever asks for long training knows better. */
  @IsOptional() @IsInt() @Min(100) training?: number;
  /** Default: 30 000. */
  @IsOptional() @IsInt() @Min(100) checking?: number;
  /** Default: 30 000. */
  @IsOptional() @IsInt() @Min(100) unmasking?: number;
}

/** `POST /runs`. */
export class RunDescription {
  @IsString() @Length(1, 200) title!: string;
  /**
   * Where its versions are published, `owner/name`. A repository that there is already must have the same base model. Default: a new
   * one, called after the title.
   */
  @IsOptional()
  @Length(3, LONGEST_REPOSITORY_NAME)
  @Matches(repositoryPattern, { message: `repository ${repositoryRule}` })
  repository?: string;
  @IsInt() @Min(1) @Max(1_000_000) rounds!: number;
  @ValidateNested() @Type(() => BaseDescription) @IsObject() base!: BaseDescription;
  @ValidateNested() @Type(() => AdapterDescription) @IsObject() adapter!: AdapterDescription;
  @ValidateNested() @Type(() => DataDescription) @IsObject() data!: DataDescription;
  @ValidateNested() @Type(() => PrivacyDescription) @IsObject() privacy!: PrivacyDescription;
  @ValidateNested() @Type(() => TrainingDescription) @IsObject() training!: TrainingDescription;
  @IsOptional() @ValidateNested() @Type(() => MetricsDescription) @IsObject() metrics?: MetricsDescription;
  @ValidateNested() @Type(() => ServerDescription) @IsObject() server!: ServerDescription;
  @IsOptional() @ValidateNested() @Type(() => DeadlinesDescription) @IsObject() deadlinesMs?: DeadlinesDescription;
  /** Default: the least that is safe, more than (n + c) / 2. */
  @IsOptional() @IsInt() @Min(2) @Max(4096) threshold?: number;
  /** Above 128 organisations; default: the fewest neighbours that protect them. */
  @IsOptional() @ValidateNested() @Type(() => GraphDescription) @IsObject() graph?: GraphDescription;
  /** Names of the organisations; default: every active one. */
  @IsOptional() @IsArray() @ArrayMaxSize(4096) @IsString({ each: true }) organisations?: string[];
  /** Aborted rounds in a row after which the run fails. */
  @IsOptional() @IsInt() @Min(1) @Max(1000) maximumConsecutiveAborts?: number;
  /** When rounds start and when the run ends. No part of the manifest: it may change while the run goes on. */
  @IsOptional() @ValidateNested() @Type(() => RunSchedule) @IsObject() schedule?: RunSchedule;
}

/** A larger epsilon promises nothing, and takes long to account for. */
const MAXIMUM_EPSILON_CAP = 100;

/** `POST /runs/plan`. */
export class RunPlanRequest extends RunDescription {
  /** Epsilons for which to say how many rounds fit, and how much noise all planned rounds would need. */
  @IsOptional()
  @IsArray()
  @ArrayMaxSize(4)
  @IsNumber({}, { each: true })
  @IsPositive({ each: true })
  @Max(MAXIMUM_EPSILON_CAP, { each: true })
  epsilonCaps?: number[];
}
