/**
 * The control socket: signs in, says hello, hands the coordinator's requests on, and comes back by itself after every loss.
 *
 * Knows no mathematics and keeps no answers: after each hello the coordinator repeats its open request, and the daemon answers it
 * with the same bytes. So a reply that was lost on the way needs no queue here.
 */

import { FedloraError, WIRE_VERSION } from '@fedlora/shared';
import type {
  ClientState,
  ClientToServerEvents,
  Reply,
  RoundDecline,
  RoundReply,
  ServerToClientEvents,
  SessionHello,
} from '@fedlora/shared';
import { io, type Socket } from 'socket.io-client';
import { Backoff } from './backoff.js';
import { noAnswer } from './no-answer.js';
import { outgoingEvent, type OnOutgoing } from './outgoing.js';
import type { SignIn } from './sign-in.js';

/** What the daemon hears. Handlers must not throw. */
export interface SessionEvents {
  request: ServerToClientEvents['round.request'];
  roundEnded: ServerToClientEvents['round.ended'];
  runEnded: ServerToClientEvents['run.ended'];
  standing: ServerToClientEvents['session.standing'];
  connected: () => void;
  /** The connection is lost or could not be made; it is being tried again. */
  disconnected: (error: FedloraError) => void;
}

export interface SessionParts {
  readonly url: string;
  readonly signIn: SignIn;
  readonly clientVersion: string;
  /** Asked at every hello. */
  readonly present: () => Pick<SessionHello, 'state' | 'device' | 'budget'>;
  readonly events: SessionEvents;
  readonly onOutgoing?: OnOutgoing | undefined;
}

/** How long the coordinator may take to acknowledge. */
const ACKNOWLEDGE_MS = 15_000;
const CONNECT_MS = 20_000;

export class Session {
  private readonly socket: Socket<ServerToClientEvents, ClientToServerEvents>;
  private readonly backoff = new Backoff();
  private readonly stopped = new AbortController();
  private usable = false;

  constructor(private readonly parts: SessionParts) {
    this.socket = io(parts.url, {
      autoConnect: false,
      reconnection: false, // Ours signs in again first.
      transports: ['websocket'],
      timeout: CONNECT_MS,
      forceNew: true,
    });
    const { onOutgoing } = parts;
    if (onOutgoing !== undefined) {
      this.socket.onAnyOutgoing((name: string, ...arguments_: unknown[]) =>
        onOutgoing(outgoingEvent(name, arguments_)),
      );
    }
    this.socket.on('round.request', (request) => this.hear(() => parts.events.request(request)));
    this.socket.on('round.ended', (ended) => this.hear(() => parts.events.roundEnded(ended)));
    this.socket.on('run.ended', (ended) => this.hear(() => parts.events.runEnded(ended)));
    this.socket.on('session.standing', (standing) => this.hear(() => parts.events.standing(standing)));
  }

  /** Connects and stays connected until `close`. Resolves when closed. */
  async run(): Promise<void> {
    while (!this.stopped.signal.aborted) {
      let error: FedloraError;
      try {
        await this.connect();
        this.usable = true; // Before the hello, since the coordinator's requests follow it at once.
        const lost = this.lost();
        await this.hello();
        this.backoff.reset();
        this.parts.events.connected();
        error = new FedloraError('connection/unreachable', `The connection was lost (${await lost}).`);
      } catch (cause) {
        error = FedloraError.from(cause);
      }
      this.usable = false;
      this.parts.signIn.forget(); // A coordinator that was started again knows no session.
      this.socket.disconnect();
      if (this.stopped.signal.aborted) return;
      this.parts.events.disconnected(error);
      await this.backoff.wait(this.stopped.signal, error).catch(() => undefined); // Aborted: the loop's condition ends it.
    }
  }

  /** Sends an answer. `undefined` when it may not have arrived: the coordinator will ask again. */
  reply(reply: RoundReply): Promise<Reply | undefined> {
    return this.send((acknowledged) => this.socket.emit('round.reply', reply, acknowledged));
  }

  decline(decline: RoundDecline): Promise<Reply | undefined> {
    return this.send((acknowledged) => this.socket.emit('round.decline', decline, acknowledged));
  }

  announce(state: ClientState): Promise<Reply | undefined> {
    return this.send((acknowledged) => this.socket.emit('session.state', { state }, acknowledged));
  }

  /** Says hello again, when what it says has changed. Without a connection there is nothing to do: the next one begins with it. */
  introduce(): Promise<Reply | undefined> {
    return this.send((acknowledged) => this.socket.emit('session.hello', this.presentation(), acknowledged));
  }

  close(): void {
    this.stopped.abort();
    this.socket.disconnect();
  }

  /** Whatever a message does to its handler, it must not end the process: the connection is dropped, as after any bad answer. */
  private hear(handle: () => void): void {
    try {
      handle();
    } catch {
      this.socket.disconnect();
    }
  }

  private async connect(): Promise<void> {
    this.socket.auth = { token: await this.parts.signIn.token() };
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        this.socket.off('connect', connected).off('connect_error', failed);
        this.stopped.signal.removeEventListener('abort', stopped);
      };
      const connected = (): void => {
        done();
        resolve();
      };
      const failed = (cause: Error): void => {
        done();
        reject(noAnswer(this.parts.url, cause, 'The coordinator does not take the connection'));
      };
      const stopped = (): void => {
        done();
        reject(new FedloraError('client/stopped'));
      };
      this.socket.on('connect', connected).on('connect_error', failed);
      this.stopped.signal.addEventListener('abort', stopped);
      this.socket.connect();
    });
  }

  private async hello(): Promise<void> {
    const reply = await this.acknowledged((acknowledge) =>
      this.socket.emit('session.hello', this.presentation(), acknowledge),
    );
    if (!reply.ok)
      throw new FedloraError('connection/refused', `The coordinator refuses this client: ${reply.error.message}`);
  }

  private presentation(): SessionHello {
    return { wireVersion: WIRE_VERSION, clientVersion: this.parts.clientVersion, ...this.parts.present() };
  }

  /** Resolves with the reason when this connection ends. */
  private lost(): Promise<string> {
    return new Promise((resolve) => this.socket.once('disconnect', resolve));
  }

  private async send(emit: (acknowledge: (reply: Reply) => void) => void): Promise<Reply | undefined> {
    if (!this.usable) return undefined;
    try {
      return await this.acknowledged(emit);
    } catch {
      // A socket that swallows messages is worth nothing: a new one makes the coordinator ask again.
      this.socket.disconnect();
      return undefined;
    }
  }

  private acknowledged(emit: (acknowledge: (reply: Reply) => void) => void): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const over = (): void => {
        clearTimeout(timer);
        this.socket.off('disconnect', over);
        reject(new FedloraError('connection/unreachable', 'The coordinator does not acknowledge.'));
      };
      const timer = setTimeout(over, ACKNOWLEDGE_MS);
      this.socket.once('disconnect', over);
      emit((reply) => {
        clearTimeout(timer);
        this.socket.off('disconnect', over);
        resolve(reply);
      });
    });
  }
}
