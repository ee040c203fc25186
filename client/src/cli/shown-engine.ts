/** How commands show what computes. */

import type { OpenedEngine } from '../engine/open-engine.js';
import type { CliContext } from './context.js';

/** A line to the error output: engine, device and why; what was passed over only where somebody may want it. */
export function shownEngine(context: CliContext): (opened: OpenedEngine) => void {
  return ({ engine, device, reason, tried }) => {
    context.error(`engine ${engine} on ${device}: ${reason}`);
    for (const one of tried) context.error(`  not ${one}`);
  };
}
