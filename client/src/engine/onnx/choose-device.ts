/** Which device an engine computes on, and why. */

import { FedloraError } from '@fedlora/shared';
import { inMilliseconds, probeDevice, type DeviceProbe } from './device-probe.js';
import type { OnnxDevice } from './device.js';

export interface DeviceChoice {
  readonly device: OnnxDevice;
  /** For the log. */
  readonly reason: string;
  /** Devices that were asked and not taken. */
  readonly tried: readonly { readonly device: OnnxDevice; readonly whyNot: string }[];
}

/**
 * Takes the device that is wanted if it works here, or with `auto` the fastest: a GPU only if it multiplies matrices faster than the
 * processor.
 *
 * @param isSmall whether the base model's operations are too short for a GPU, which then is not looked for
 * @throws FedloraError engine/device-unavailable: the device that is wanted does not work here
 */
export async function chooseDevice(
  wanted: OnnxDevice | 'auto',
  isSmall: boolean,
  probe = probeDevice,
): Promise<DeviceChoice> {
  if (wanted === 'cpu') return { device: 'cpu', reason: 'cpu was asked for', tried: [] };
  if (wanted !== 'auto') {
    const found = await probe(wanted);
    if ('whyNot' in found)
      throw new FedloraError('engine/device-unavailable', `${wanted}: ${found.whyNot}.`, { where: 'device' });
    return { device: wanted, reason: `${wanted} was asked for`, tried: [] };
  }
  if (isSmall)
    return { device: 'cpu', reason: 'the base model is small, its operations too short for a GPU', tried: [] };
  const processor = await probe('cpu');
  const found = [await probe('cuda'), await probe('webgpu')];
  const limit = millisecondsOf(processor);
  const [fastest] = found
    .filter((one) => millisecondsOf(one) < limit)
    .sort((a, b) => millisecondsOf(a) - millisecondsOf(b));
  const tried = found
    .filter((one) => one !== fastest)
    .map((one) => ({ device: one.device, whyNot: 'whyNot' in one ? one.whyNot : timing(one, limit) }));
  if (fastest === undefined) return { device: 'cpu', reason: 'no GPU here is faster', tried };
  return { device: fastest.device, reason: timing(fastest, limit), tried };
}

function millisecondsOf(found: DeviceProbe): number {
  return 'milliseconds' in found ? found.milliseconds : Infinity;
}

function timing(found: DeviceProbe, limit: number): string {
  return `it multiplies matrices in ${inMilliseconds(millisecondsOf(found))}, the processor in ${inMilliseconds(limit)}`;
}
