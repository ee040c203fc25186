/** How commands quantize a base model: kept in the cache folder of the client, and shown on the terminal. */

import type { QuantizeOptions } from '../engine/weights/nf4-store.js';
import type { CliContext } from './context.js';

/** Progress on the current line of a terminal, then a line that says how long it took and what became of the cache. */
export async function shownQuantization(useCache: boolean, context: CliContext): Promise<QuantizeOptions> {
  const { homeFrom } = await import('../config/home.js');
  const { describeQuantization } = await import('../engine/weights/nf4-store.js');
  return {
    ...(useCache ? { cacheFolder: homeFrom(undefined, context.environment).quantized } : {}),
    onProgress: (done, all) => context.progress(`quantizing: ${Math.floor((100 * done) / all)} %`),
    onFinished: (report) => {
      context.progress('');
      context.error(describeQuantization(report));
    },
  };
}
