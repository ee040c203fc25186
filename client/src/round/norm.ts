/** L2 norm. f32 or f64 [n]; squares are added in f64. */
export function norm(values: Float32Array | Float64Array): number {
  let squares = 0;
  for (const value of values) squares += value * value;
  return Math.sqrt(squares);
}
