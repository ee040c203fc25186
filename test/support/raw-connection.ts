/** A connection on which a test says what no client of ours would: bytes over TCP, frames over a WebSocket. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

const OPCODE = { text: 1, binary: 2 } as const;
const CLOSE_FRAME = 0x88;

export class RawConnection {
  private received = '';
  private readonly isClosed: Promise<void>;

  private constructor(private readonly socket: Socket) {
    socket.on('error', () => undefined); // A reset is one of the expected ends.
    socket.on('data', (bytes: Buffer) => {
      this.received += bytes.toString('latin1');
      if (bytes[0] === CLOSE_FRAME) socket.end(); // As a client must; the coordinator waits for it for half a minute.
    });
    this.isClosed = new Promise((resolve) => socket.once('close', () => resolve()));
  }

  /** `localAddress`: of this machine, as another client has another address. */
  static async open(url: string, localAddress?: string): Promise<RawConnection> {
    const { port, hostname } = new URL(url);
    const socket = connect({
      port: Number(port),
      host: hostname,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    const connection = new RawConnection(socket);
    await once(socket, 'connect');
    return connection;
  }

  /** Opened as a WebSocket of socket.io; frames may follow. */
  static async webSocket(url: string, localAddress?: string): Promise<RawConnection> {
    const connection = await RawConnection.open(url, localAddress);
    const path = '/socket.io/?EIO=4&transport=websocket';
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13';
    connection.say(
      `GET ${path} HTTP/1.1\r\nHost: here\r\n${upgrade}\r\nSec-WebSocket-Key: ${'A'.repeat(22)}==\r\n\r\n`,
    );
    await connection.hears('"sid"');
    return connection;
  }

  /** Everything that came. */
  get text(): string {
    return this.received;
  }

  /** Bytes that the network took. */
  get sentBytes(): number {
    return this.socket.bytesWritten - this.socket.writableLength;
  }

  say(bytes: string | Uint8Array): void {
    if (this.socket.writable) this.socket.write(bytes);
  }

  /** A frame that a client may send. Masked with zeros, which leaves it as it is. */
  frame(kind: keyof typeof OPCODE, payload: string | Uint8Array): void {
    const body = Buffer.from(payload as Uint8Array);
    const head = Buffer.alloc(14);
    head[0] = 0x80 | OPCODE[kind];
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(body.length), 2);
    this.say(Buffer.concat([head, body]));
  }

  /** The same again and again, as fast as it is taken. */
  async floodUntilClosed(piece: string): Promise<void> {
    const pour = (): void => {
      while (this.socket.writable && this.socket.write(piece));
    };
    this.socket.on('drain', pour);
    pour();
    await this.closed();
  }

  async hears(text: string): Promise<void> {
    while (!this.received.includes(text)) await once(this.socket, 'data');
  }

  /** However it ends. */
  closed(): Promise<void> {
    return this.isClosed;
  }

  end(): void {
    this.socket.destroy();
  }
}
