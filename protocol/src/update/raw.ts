/** The first stage of an update: what training produced, before anything was bounded. */

import { ProtocolError } from '../errors.js';
import type { RawUpdate } from './stages.js';

/** Marks values as an update that nothing has bounded yet. They are not copied. [P] */
export function toRawUpdate(values: Float32Array | Float64Array): RawUpdate {
  // Safe: every later stage assumes nothing of a raw update.
  return { values } as RawUpdate;
}

/**
 * What training changed.
 *
 * Shapes     after [P] f32, before [P] f32 -> after - before [P] f64, both in layout order
 * @throws ProtocolError update/wrong-length
 */
export function difference(after: Float32Array, before: Float32Array): RawUpdate {
  if (after.length !== before.length) throw new ProtocolError('update/wrong-length');
  const values = new Float64Array(after.length);
  for (let i = 0; i < values.length; i++) values[i] = after[i] - before[i];
  return toRawUpdate(values);
}
