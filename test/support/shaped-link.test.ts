import { createServer, connect, type AddressInfo, type Server } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { ShapedLinks } from './shaped-link.js';

const open: { stop(): unknown }[] = [];
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop();
});

/** A server that sends everything back. */
async function echo(): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push({ stop: () => server.close() });
  return (server.address() as AddressInfo).port;
}

async function sentThrough(
  profile: Parameters<typeof ShapedLinks.start>[1],
  bytes: Buffer,
): Promise<{ back: Buffer; ms: number }> {
  const links = await ShapedLinks.start(await echo(), profile);
  open.push(links);
  const start = performance.now();
  const socket = connect(Number(new URL(links.url).port), '127.0.0.1');
  socket.end(bytes);
  return { back: await buffer(socket), ms: performance.now() - start };
}

describe('a shaped link', () => {
  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i) % 251));

  it('passes all bytes on in order, and the end after them', async () => {
    const { back } = await sentThrough({ latencyMs: 1, bytesPerSecond: undefined }, bytes);
    expect(back.equals(bytes)).toBe(true);
  });

  it('takes the latency of both ways, and lets no more through than its rate', async () => {
    const { back, ms } = await sentThrough({ latencyMs: 50, bytesPerSecond: 1_000_000 }, bytes);
    expect(back.equals(bytes)).toBe(true);
    expect(ms).toBeGreaterThanOrEqual(100 + 300 - 5); // Timers may be early by a millisecond each.
  });
});
