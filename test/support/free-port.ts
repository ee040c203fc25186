import { connect, createServer, type AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';

/** A port on which nothing listens now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Far more than a program takes to start on a busy machine. */
const START_MS = 180_000;

/** Waits until something listens on a port of this machine. `stillHopes` may throw what makes waiting useless. */
export async function untilListening(port: number, stillHopes: () => void = () => undefined): Promise<void> {
  for (const endsAt = Date.now() + START_MS; !(await listens(port)); await wait(50)) {
    stillHopes();
    if (Date.now() > endsAt) throw new Error(`Nothing listens on port ${port} within ${START_MS / 1000} seconds.`);
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => answer(false));
    socket.once('connect', () => {
      socket.destroy();
      answer(true);
    });
  });
}
