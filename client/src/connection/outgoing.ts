/** What leaves this machine for the coordinator, told to whoever records it at the moment when it is handed to the network. */

/** One message. */
export interface OutgoingMessage {
  readonly channel: 'http' | 'socket';
  /** Method and path, or the event's name. */
  readonly name: string;
  /** Without `authorization`: a bearer token would let a reader of the record speak for this organisation. */
  readonly headers: Readonly<Record<string, string>>;
  /** HTTP: the bytes. Socket: the event's arguments as JSON, byte arrays as `{"base64": ...}`. */
  readonly body: Uint8Array;
}

export type OnOutgoing = (message: OutgoingMessage) => void;

/** The message of an event; the function that acknowledges it stays here. */
export function outgoingEvent(name: string, arguments_: readonly unknown[]): OutgoingMessage {
  const sent = arguments_.filter((argument) => typeof argument !== 'function');
  return { channel: 'socket', name, headers: {}, body: Buffer.from(JSON.stringify(sent, withBase64)) };
}

function withBase64(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value;
}
