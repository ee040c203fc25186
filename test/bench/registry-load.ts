/** Who pulls: raw HTTP/1.1 over sockets, so that reading costs as little as it can and both servers are asked the same. */

import { connect } from 'node:net';

export interface Target {
  /** `http://host:port` */
  readonly url: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Of the buffer that every piece is read into and thrown away. */
const READ_BYTES = 1 << 18;

/** What an answer was: its status, and the bytes of its body. */
export interface Answer {
  readonly status: number;
  readonly bytes: number;
}

/** One request on a connection of its own. */
export function pull({ url, path, headers = {} }: Target): Promise<Answer> {
  const { hostname, port } = new URL(url);
  const lines = Object.entries({ host: `${hostname}:${port}`, connection: 'close', ...headers });
  const request = `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return new Promise((resolve, reject) => {
    let head = '';
    let bytes = 0;
    let isInBody = false;
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const socket = connect({
      host: hostname,
      port: Number(port),
      onread: {
        buffer,
        callback: (length) => {
          if (isInBody) bytes += length;
          else {
            head += buffer.toString('latin1', 0, length);
            const end = head.indexOf('\r\n\r\n');
            if (end >= 0) {
              isInBody = true;
              bytes = head.length - end - 4;
            }
          }
          return true;
        },
      },
    });
    socket.on('connect', () => socket.write(request));
    socket.on('error', reject);
    socket.on('close', () => resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), bytes }));
  });
}
