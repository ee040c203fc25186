/** How busy the GPUs of this machine are, asked of NVIDIA's `nvidia-smi`, which comes with the driver. */

import { execFile } from 'node:child_process';

export type GpuLoad =
  /** Of the busiest that is looked at, in percent of time over the driver's last sample. */
  { readonly kind: 'known'; readonly percent: number } | { readonly kind: 'unavailable'; readonly why: string };

/** The driver answers in a fraction of a second, unless it hangs. */
const TIMEOUT_MS = 5000;
const ARGUMENTS = ['--query-gpu=utilization.gpu', '--format=csv,noheader,nounits'];

/**
 * Asks once. Never throws: a machine without such a GPU is nothing unusual.
 *
 * Edge cases CUDA_VISIBLE_DEVICES is set -> only those GPUs | it is empty -> unavailable: this program uses none
 */
export function gpuLoad(environment: NodeJS.ProcessEnv): Promise<GpuLoad> {
  const visible = environment.CUDA_VISIBLE_DEVICES;
  if (visible?.trim() === '' || visible === '-1')
    return Promise.resolve({ kind: 'unavailable', why: 'CUDA_VISIBLE_DEVICES hides every GPU' });
  const chosen = visible === undefined ? [] : [`--id=${visible}`];
  return new Promise((resolve) => {
    execFile('nvidia-smi', [...ARGUMENTS, ...chosen], { env: environment, timeout: TIMEOUT_MS }, (error, stdout) => {
      resolve(error === null ? loadIn(stdout) : { kind: 'unavailable', why: whyNot(error) });
    });
  });
}

/** One line a GPU, such as `35`; one that cannot tell, such as a slice of a shared GPU, writes `[N/A]`. */
function loadIn(output: string): GpuLoad {
  const loads = output
    .split('\n')
    .filter((line) => /^\s*\d+\s*$/.test(line))
    .map(Number);
  if (loads.length === 0) return { kind: 'unavailable', why: 'nvidia-smi tells no load' };
  return { kind: 'known', percent: Math.max(...loads) };
}

function whyNot(error: Error & { code?: unknown; killed?: boolean }): string {
  if (error.code === 'ENOENT') return 'nvidia-smi is not installed';
  if (error.killed === true) return `nvidia-smi does not answer within ${TIMEOUT_MS / 1000} s`;
  return `nvidia-smi ends with ${String(error.code)}`;
}
