import { once } from 'node:events';
import { Inject } from '@nestjs/common';
import {
  ConnectedSocket,
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  type OnGatewayConnection,
  type OnGatewayDisconnect,
  type OnGatewayInit,
} from '@nestjs/websockets';
import type { Server, Socket } from 'socket.io';
import {
  FedloraError,
  RoundDeclineMessage,
  RoundReplyMessage,
  SessionHelloMessage,
  SessionStateMessage,
  toWireError,
  type ClientToServerEvents,
  type Reply,
  type ServerToClientEvents,
} from '@fedlora/shared';
import { StandingService } from '../enrolment/standing.service.js';
import { gatewayOptions } from '../nest/gateway-options.js';
import { replyTo, type ReplyParts } from '../nest/reply.js';
import { LOG } from '../nest/tokens.js';
import type { Log } from '../observe/log.js';
import { Metrics } from '../observe/metrics.js';
import { Driving } from '../rounds/driving.js';
import { RoundService } from '../rounds/round.service.js';
import { Admissions } from '../access/admission.js';
import { RateLimits } from '../access/rate-limits.js';
import { Presence, type Connection } from './presence.js';
import { SessionService } from './session.service.js';
import { Strangers, type EngineConnection } from './strangers.js';

interface SocketData {
  organisation: string;
  connection: Connection;
  /** When the session that opened the socket ends, and the socket with it. */
  expiresAt: number;
  expiry: NodeJS.Timeout;
}

type ClientSocket = Socket<ClientToServerEvents, ServerToClientEvents, Record<string, never>, SocketData>;
interface Broadcaster {
  to(rooms: string[]): { emit(event: string, value: unknown): void };
}
type ClientServer = Server<ClientToServerEvents, ServerToClientEvents, Record<string, never>, SocketData>;

/** The socket between client and coordinator: control only. */
@WebSocketGateway(gatewayOptions)
export class ClientGateway implements OnGatewayInit, OnGatewayConnection, OnGatewayDisconnect {
  constructor(
    @Inject(SessionService) private readonly sessions: SessionService,
    @Inject(Presence) private readonly presence: Presence,
    @Inject(RoundService) private readonly rounds: RoundService,
    @Inject(StandingService) private readonly standing: StandingService,
    @Inject(Driving) private readonly driving: Driving,
    @Inject(RateLimits) private readonly rates: RateLimits,
    @Inject(Admissions) private readonly admissions: Admissions,
    @Inject(Strangers) private readonly strangers: Strangers,
    @Inject(LOG) private readonly log: Log,
    @Inject(Metrics) private readonly metrics: Metrics,
  ) {}

  afterInit(server: ClientServer): void {
    this.presence.broadcast = (connections, event, value) => {
      if (connections.length === 0) return; // To no room would be to everyone.
      // Safe: the event map gives every event exactly one value, of this type.
      (server.local as Broadcaster).to(connections.map(({ id }) => id)).emit(event, value);
    };
    server.engine.on('connection', (connection: EngineConnection) => this.strangers.watch(connection));
    server.use((socket, next) => {
      try {
        this.driving.expectDriving();
        const token: unknown = socket.handshake.auth.token;
        const session = typeof token === 'string' ? this.sessions.sessionOf(token) : undefined;
        if (session === undefined) throw new FedloraError('session/required');
        socket.data.organisation = session.name;
        socket.data.expiresAt = session.expiresAt;
        socket.data.connection = connectionOver(socket);
        next();
      } catch (error) {
        const wire = toWireError(error);
        next(Object.assign(new Error(wire.code), { data: wire }));
      }
    });
  }

  handleConnection(socket: ClientSocket): void {
    this.log.debug('session.socket.connected', { participantId: socket.data.organisation, connectionId: socket.id });
    this.strangers.know(socket.conn);
    forgetOpening(socket);
    socket.data.expiry = setTimeout(() => socket.disconnect(true), this.sessions.leftOf(socket.data.expiresAt));
    this.presence.connected(socket.data.organisation, socket.data.connection);
  }

  handleDisconnect(socket: ClientSocket): void {
    this.log.debug('session.socket.disconnected', { participantId: socket.data.organisation, connectionId: socket.id });
    clearTimeout(socket.data.expiry);
    this.presence.disconnected(socket.data.organisation, socket.data.connection).catch((error: unknown) => {
      this.log.error('session.disconnect.failed', { err: error });
    });
  }

  @SubscribeMessage('session.hello')
  hello(@ConnectedSocket() { data }: ClientSocket, @MessageBody() body: unknown): Promise<Reply> {
    return replyTo(SessionHelloMessage, body, this.partsFor(data), (hello) =>
      this.admissions.hellos.take(data.organisation, async () => {
        // Whoever went away while it waited says hello again, on another connection.
        if (!this.presence.isPresent(data.organisation, data.connection)) return;
        await this.presence.hello(data.organisation, data.connection, hello);
        await this.standing.tell(data.organisation);
        await this.rounds.greet(data.organisation);
      }),
    );
  }

  @SubscribeMessage('session.state')
  state(@ConnectedSocket() { data }: ClientSocket, @MessageBody() body: unknown): Promise<Reply> {
    return replyTo(SessionStateMessage, body, this.partsFor(data), ({ state }) =>
      this.presence.state(data.organisation, data.connection, state),
    );
  }

  @SubscribeMessage('round.reply')
  reply(@ConnectedSocket() { data }: ClientSocket, @MessageBody() body: unknown): Promise<Reply> {
    return replyTo(RoundReplyMessage, body, this.partsFor(data), (reply) =>
      this.rounds.reply(data.organisation, reply),
    );
  }

  @SubscribeMessage('round.decline')
  decline(@ConnectedSocket() { data }: ClientSocket, @MessageBody() body: unknown): Promise<Reply> {
    return replyTo(RoundDeclineMessage, body, this.partsFor(data), (decline) =>
      this.rounds.decline(data.organisation, decline),
    );
  }

  private partsFor({ organisation: name }: SocketData): ReplyParts {
    const { log, metrics, rates } = this;
    return { log, metrics, admit: () => rates.expectIdentity({ kind: 'client', name }) };
  }
}

/** Lets go of the request that opened a connection, and its headers: socket.io would hold them as long as the connection. */
function forgetOpening({ conn, handshake }: ClientSocket): void {
  handshake.headers = {};
  Object.assign(conn, { request: null });
}

function connectionOver(socket: ClientSocket): Connection {
  return {
    id: socket.id,
    send: (event, value) => {
      // Safe: the event map gives every event exactly one value, of this type.
      (socket as Socket).emit(event, value);
    },
    flushed: () => flushed(socket),
    close: () => socket.disconnect(true),
  };
}

/** A transport is writable again once the network has taken what it was given; the connection gives it the next at the same moment. */
async function flushed({ conn }: ClientSocket): Promise<void> {
  while (conn.readyState === 'open' && !conn.transport.writable) {
    const gone = new AbortController();
    const { signal } = gone;
    // An error of the transport closes the connection.
    await Promise.race([once(conn.transport, 'ready', { signal }), once(conn, 'close', { signal })]).catch(
      () => undefined,
    );
    gone.abort();
  }
}
