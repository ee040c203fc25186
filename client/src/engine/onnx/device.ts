/**
 * What onnxruntime's execution providers can and cannot compute, as data. Graphs and sessions ask here, so that no other file names
 * a device.
 *
 * Source     onnxruntime 1.30, as built for npm. `webgpu` was run (on SwiftShader, a Vulkan device in software); what is said of
 *            `cuda` was read in its sources, and that its results are right is for the self-test to say.
 */

export type OnnxDevice = 'cpu' | 'webgpu' | 'cuda';

export const onnxDevices: readonly OnnxDevice[] = ['cpu', 'webgpu', 'cuda'];

export interface DeviceProfile {
  readonly device: OnnxDevice;
  /** SimplifiedLayerNormalization gives 1 / rms, its second result. WebGPU's kernel leaves it unwritten, without an error. */
  readonly hasFusedNorm: boolean;
  /**
   * FusedMatMul, the product with transposed factors. WebGPU has none: it runs on the processor, between copies there and back. The
   * same is true of Sum, for which graphs have Add on every device.
   */
  readonly hasFusedMatmul: boolean;
  /**
   * Whether a graph's output may stay on the device, and be another graph's input: so weights are copied there once, and
   * activations never back. The binding for Node.js knows buffers of WebGPU only; to CUDA it copies every input of every run.
   */
  readonly keepsTensors: boolean;
  /** Whether threads of this process share the work within an operation, on this machine's memory. */
  readonly usesThreads: boolean;
}

const profiles: Readonly<Record<OnnxDevice, DeviceProfile>> = {
  cpu: {
    device: 'cpu',
    hasFusedNorm: true,
    hasFusedMatmul: true,
    keepsTensors: false,
    usesThreads: true,
  },
  webgpu: {
    device: 'webgpu',
    hasFusedNorm: false,
    hasFusedMatmul: false,
    keepsTensors: true,
    usesThreads: false,
  },
  cuda: {
    device: 'cuda',
    hasFusedNorm: true,
    hasFusedMatmul: true,
    keepsTensors: false,
    usesThreads: false,
  },
};

export function profileOf(device: OnnxDevice): DeviceProfile {
  return profiles[device];
}
