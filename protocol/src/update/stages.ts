/**
 * The stages of privacy that an update passes through, as types.
 *
 * A value of a later stage can only be made by the function that performs the step (clip, quantize, add noise, mask), since the
 * symbol that marks a stage never leaves this file's declarations. A cast would get through, so an architecture test forbids
 * casts to these types outside `protocol`; and types vanish at run time, so decoders check everything again.
 *
 * Legend     P = number of values that are aggregated: the trained factor's parameters in layout order, then the metrics.
 */

declare const stage: unique symbol;
type AtStage<Name extends string, Fields> = Fields & { readonly [stage]: Name };

/** What training produced. Private in full. [P] f32 or f64. */
export type RawUpdate = AtStage<'raw', { readonly values: Float32Array | Float64Array }>;

/**
 * A sum whose dependence on one protected unit (record or whole update) is at most `l2Sensitivity`, in units of the update.
 * `contributors` is the number of units summed; it is private and never leaves the process. [P] f64.
 */
export type ClippedUpdate = AtStage<
  'clipped',
  { readonly values: Float64Array; readonly l2Sensitivity: number; readonly contributors: number }
>;

/** Rounded to integer steps; `l2SensitivityInSteps` includes what rounding adds. [P] i32. */
export type QuantizedUpdate = AtStage<
  'quantized',
  { readonly levels: Int32Array; readonly l2SensitivityInSteps: number }
>;

/**
 * A local step's sum with all the noise that protects a record: no other participant's noise is counted on. [P] i32.
 * Whatever is computed from it alone is as private as it is.
 */
export type PrivateStep = AtStage<'private-step', { readonly levels: Int32Array }>;

/**
 * What a round's private steps came to: computed from their levels and public values alone, and of a bounded norm, so that a sum of
 * such updates fits the ring. The bound protects nobody; the noise of the steps does. [P] f64.
 */
export type ReleasedUpdate = AtStage<'released', { readonly values: Float64Array; readonly l2Norm: number }>;

/**
 * Ready to be masked: with this participant's share of the discrete Gaussian, or made from steps that had all of it. [P] i32.
 */
export type NoisedUpdate = AtStage<'noised', { readonly levels: Int32Array }>;

/** Uniform to anyone without the masks: the only stage that may be sent. [P] u32 mod 2^32. */
export type MaskedUpdate = AtStage<'masked', { readonly words: Uint32Array }>;

/** The sum of masked updates. [P] u32 mod 2^32. */
export type MaskedSum = AtStage<'masked-sum', { readonly words: Uint32Array }>;

/** The sum of noised updates of the survivors: what the coordinator learns. [P] i32. */
export type NoisySum = AtStage<'noisy-sum', { readonly levels: Int32Array }>;
