/** Waits for what a network of processes gets to. */

import { setTimeout as wait } from 'node:timers/promises';

/** Far more than anything takes on a busy machine. */
const PATIENCE_MS = 90_000;
const LOOK_MS = 50;

/** Looks again and again; a look that fails is one that saw nothing. @throws Error after a long time, with the last failure */
export async function eventually(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  let cause: unknown;
  for (const endsAt = Date.now() + PATIENCE_MS; Date.now() < endsAt; await wait(LOOK_MS)) {
    try {
      if (await look()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
  }
  throw new Error(`Not within ${PATIENCE_MS / 1000} seconds: ${what}.`, { cause });
}

/** Asks again and again until nothing fails. @throws Error after a long time, with the last failure */
export async function eventualAnswer<Value>(what: string, ask: () => Promise<Value>): Promise<Value> {
  const answers: Value[] = [];
  await eventually(what, async () => answers.push(await ask()) > 0);
  return answers[0];
}
