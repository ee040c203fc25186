/** Which languages rows are in, as far as their length allows to tell. */

/** Below so many letters a guess is worth little. */
const LEAST_LETTERS = 20;
/** Of the detector, from 0 to 1. */
const LEAST_ACCURACY = 0.5;

/** Rows by language (ISO 639-1), the most frequent first; `unknown` for those too short or too mixed. */
export async function languageMix(texts: readonly string[]): Promise<Readonly<Record<string, number>>> {
  const { detectAll } = await import('tinyld');
  const counts = new Map<string, number>();
  for (const text of texts) {
    const beginning = text.slice(0, 2000);
    const letters = beginning.match(/\p{L}/gu)?.length ?? 0;
    const best = letters < LEAST_LETTERS ? undefined : detectAll(beginning)[0];
    const language = best !== undefined && best.accuracy >= LEAST_ACCURACY ? best.lang : 'unknown';
    counts.set(language, (counts.get(language) ?? 0) + 1);
  }
  return Object.fromEntries([...counts].sort(([, a], [, b]) => b - a));
}
