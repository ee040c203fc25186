/**
 * The next token from its logits.
 *
 * Source     transformers `generate`: the same names, and the same order of temperature, top_k, top_p (Holtzman et al. 2020,
 *            arXiv:1904.09751, for top_p).
 * Legend     V = vocabulary.
 */

/** How tokens are drawn. */
export interface SamplingOptions {
  /** Over 0. Below 1 the likely become likelier. */
  readonly temperature: number;
  /** Only this many of the likeliest; 0 for all. */
  readonly top_k: number;
  /** Only the fewest likeliest that together have at least this probability; 1 for all. */
  readonly top_p: number;
}

/** The likeliest token; of equals, the first. */
export function greedyToken(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  return best;
}

/**
 * A token drawn with the probabilities that the options leave.
 *
 * Shapes     logits [V] -> id
 * Edge cases top_k = 1 -> the likeliest | top_p = 0 -> the likeliest
 * @param uniform in [0, 1), decides
 */
export function sampledToken(
  logits: Float32Array,
  { temperature, top_k, top_p }: SamplingOptions,
  uniform: number,
): number {
  const order = Array.from(logits, (_, id) => id).sort((a, b) => logits[b] - logits[a] || a - b);
  const kept = top_k === 0 ? order : order.slice(0, top_k);
  const largest = logits[kept[0]];
  const weights = kept.map((id) => Math.exp((logits[id] - largest) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let count = 0;
  let mass = 0;
  do mass += weights[count++] / total;
  while (count < kept.length && mass < top_p);

  let left = uniform * mass;
  for (let i = 0; i < count - 1; i++) {
    left -= weights[i] / total;
    if (left < 0) return kept[i];
  }
  return kept[count - 1];
}
