/** A process that computes cells, one at a time, for `cell-pool.ts`. */

import { loadTokenizer, openBaseModel } from '@fedlora/client';
import type { CellReply, CellTask } from './cell-pool.js';
import { openDataset } from './datasets.js';
import { runMethod, type Result } from './run-method.js';

process.on('message', (task: CellTask) => {
  compute(task).then(
    (results) => reply({ results }),
    (error: unknown) => reply({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});

// Nobody is left to be told.
process.on('disconnect', () => process.exit());

async function compute({
  preset,
  seed,
  method,
  base: folder,
  tokenizer,
  ...sources
}: CellTask): Promise<readonly Result[]> {
  const base = await openBaseModel(folder);
  const { organisations } = await openDataset(preset, { ...sources, tokenizer: await loadTokenizer(tokenizer) }, seed);
  const onProgress = (share: number): void => reply({ share });
  return runMethod({ method, preset, organisations, base, seed, onProgress });
}

function reply(message: CellReply): void {
  process.send?.(message);
}
