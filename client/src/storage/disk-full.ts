/** A write that failed for want of space, as an error that says so. */

import { FedloraError } from '@fedlora/shared';

/** What failed; `home/disk-full` where the disk, or the owner's share of it, is full. */
export function writeError(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new FedloraError('home/disk-full', 'The disk is full: nothing can be written.', { where: path, cause: error });
}
