/** What `doctor` says of the places where training may run. */

import { FedloraError } from '@fedlora/shared';
import type { ClientConfig } from '../config/client-config.js';
import type { SelfTestResult } from '../engine/onnx/self-test.js';
import type { OnnxDevice } from '../engine/onnx/device.js';

/**
 * A line for each device of `onnx` and one for `tfjs`: usable or why not, and for what `auto` may take or the settings name, the
 * errors of the self-test. A GPU that is slower than the processor is not tested unless it is the one in the settings: in software
 * that would take minutes.
 *
 * @throws FedloraError engine/device-unavailable | engine/self-test-failed: of the device in the settings
 */
export async function describeDevices(configured: Pick<ClientConfig['engine'], 'name' | 'device'>): Promise<string> {
  const { inMilliseconds, probeDevice, PROBED_WORK } = await import('../engine/onnx/device-probe.js');
  const { onnxDevices } = await import('../engine/onnx/device.js');
  const processor = await probeDevice('cpu');
  const lines = [];
  for (const device of onnxDevices) {
    const found = await probeDevice(device);
    const isConfigured = configured.name === 'onnx' && configured.device === device;
    if ('whyNot' in found) {
      if (isConfigured) throw new FedloraError('engine/device-unavailable', `${device}: ${found.whyNot}.`);
      lines.push(`onnx ${device}: not usable: ${found.whyNot}`);
      continue;
    }
    const speed = `onnx ${device}: ${PROBED_WORK} in ${inMilliseconds(found.milliseconds)}`;
    const isSlow = device !== 'cpu' && 'milliseconds' in processor && found.milliseconds >= processor.milliseconds;
    if (isSlow && !isConfigured) lines.push(`${speed}, slower than the processor; not tested, never chosen by auto`);
    else lines.push(`${speed}; self-test: ${await selfTestNumbers(device, isConfigured)}`);
  }
  lines.push(await describeTfjs(configured));
  return lines.join('\n');
}

/** The errors of the self-test with weights in NF4, which tests f32 weights on the way. */
async function selfTestNumbers(device: OnnxDevice, isConfigured: boolean): Promise<string> {
  const { testOnnxDevice } = await import('../engine/onnx/engine.js');
  try {
    return errorsOf(await testOnnxDevice(device, { weights: 'nf4', structure: 'blocks' }, 'silu'));
  } catch (error) {
    if (isConfigured || !(error instanceof FedloraError)) throw error;
    return `FAILED, refused. ${error.message}`;
  }
}

function errorsOf({ loss, norm, gradient }: SelfTestResult): string {
  return `relative errors of loss ${loss.toExponential(1)}, norm ${norm.toExponential(1)}, gradient ${gradient.toExponential(1)}`;
}

async function describeTfjs(configured: Pick<ClientConfig['engine'], 'name' | 'device'>): Promise<string> {
  const { detectTfjsBackend } = await import('../engine/tfjs/backend.js');
  const wanted = configured.name === 'tfjs' ? configured.device : 'auto';
  // Safe: the settings were read, so the device is one of the engine's.
  const { backend, reason } = await detectTfjsBackend(wanted as Parameters<typeof detectTfjsBackend>[0]);
  return `tfjs ${backend}: ${reason}`;
}
