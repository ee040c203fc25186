import { describe, expect, it } from 'vitest';
import { chooseDevice } from './choose-device.js';
import type { DeviceProbe } from './device-probe.js';
import type { OnnxDevice } from './device.js';

/** A machine on which products take so many milliseconds, or that lacks a device for a reason. */
const machine =
  (found: Readonly<Record<OnnxDevice, number | string>>) =>
  async (device: OnnxDevice): Promise<DeviceProbe> => {
    const answer = found[device];
    return typeof answer === 'number' ? { device, milliseconds: answer } : { device, whyNot: answer };
  };
const withGpu = machine({ cpu: 80, webgpu: 4.2, cuda: 'not installed' });
const withSoftwareGpu = machine({ cpu: 80, webgpu: 90_000, cuda: 'not installed' });
const unasked = async (): Promise<DeviceProbe> => {
  throw new Error('No device should have been asked.');
};

describe('chooseDevice', () => {
  it('auto takes a GPU that multiplies faster than the processor, and says how much', async () => {
    expect(await chooseDevice('auto', false, withGpu)).toEqual({
      device: 'webgpu',
      reason: 'it multiplies matrices in 4.2 ms, the processor in 80 ms',
      tried: [{ device: 'cuda', whyNot: 'not installed' }],
    });
  });

  it('auto takes the faster of two', async () => {
    const { device, tried } = await chooseDevice('auto', false, machine({ cpu: 80, webgpu: 4, cuda: 2 }));
    expect(device).toBe('cuda');
    expect(tried.map((one) => one.device)).toEqual(['webgpu']);
  });

  it('auto never takes a GPU in software, and says why not', async () => {
    const { device, tried } = await chooseDevice('auto', false, withSoftwareGpu);
    expect(device).toBe('cpu');
    expect(tried[1]).toEqual({
      device: 'webgpu',
      whyNot: 'it multiplies matrices in 90000 ms, the processor in 80 ms',
    });
  });

  it('auto takes the processor for a small model, and looks for nothing', async () => {
    expect((await chooseDevice('auto', true, unasked)).device).toBe('cpu');
  });

  it('a device that is asked for is taken however slow', async () => {
    expect(await chooseDevice('webgpu', true, withSoftwareGpu)).toEqual({
      device: 'webgpu',
      reason: 'webgpu was asked for',
      tried: [],
    });
    expect((await chooseDevice('cpu', false, unasked)).device).toBe('cpu');
  });

  it('a device that is asked for and not there is an error with its cause', async () => {
    await expect(chooseDevice('cuda', false, withGpu)).rejects.toMatchObject({
      code: 'engine/device-unavailable',
      message: expect.stringContaining('cuda: not installed'),
    });
  });
});
