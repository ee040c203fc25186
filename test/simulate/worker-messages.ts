/** What a simulation and the processes of its clients say to each other. Every request gets one answer, in order. */

import type { LinkProfile } from '../support/shaped-link.js';
import type { Dropout, Wait } from './simulated-organisation.js';

export type WorkerRequest =
  /** Invite, enrol and certify these. */
  | {
      readonly kind: 'enrol';
      readonly url: string;
      readonly token: string;
      readonly names: readonly string[];
      readonly dropout: Dropout;
    }
  /** Sign all of them in at once, over such links, and take part from then on. */
  | { readonly kind: 'connect'; readonly link: LinkProfile | undefined }
  | { readonly kind: 'report' }
  | { readonly kind: 'end' };

export type WorkerAnswer =
  { readonly kind: 'done'; readonly report?: WorkerReport } | { readonly kind: 'failed'; readonly message: string };

export interface WorkerReport {
  /** In milliseconds. */
  readonly waits: ReadonlyMap<Wait, readonly number[]>;
  readonly failures: ReadonlyMap<string, number>;
  /** By round and organisation. */
  readonly levels: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Of the process, from its beginning. */
  readonly cpuSeconds: number;
  readonly peakMiB: number;
}
