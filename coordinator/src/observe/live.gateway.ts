import { Inject } from '@nestjs/common';
import { WebSocketGateway, type OnGatewayInit } from '@nestjs/websockets';
import type { Namespace, Socket } from 'socket.io';
import { FedloraError, toWireError, type LiveEvents } from '@fedlora/shared';
import { Authenticator, credentialsOf, type Credentials } from '../access/authenticator.js';
import { isOperator, seesRun, type Operator } from '../access/principal.js';
import { gatewayOptions } from '../nest/gateway-options.js';
import { LOG } from '../nest/tokens.js';
import { ReleaseViews } from '../release/release-views.js';
import { Announcements } from './announcements.js';
import { Strangers } from '../session/strangers.js';
import type { Log } from './log.js';
import { Views } from './views.js';

interface SocketData {
  operator: Operator;
}

type LiveSocket = Socket<Record<string, never>, LiveEvents, Record<string, never>, SocketData>;
type LiveNamespace = Namespace<Record<string, never>, LiveEvents, Record<string, never>, SocketData>;

/** How long a connection may outlive a sign-in or token that expired; what is ended on purpose ends it at once. */
const RECHECK_MS = 15_000;

/** Tells operators what changes, as it changes: each what its scope lets it see. */
@WebSocketGateway({ ...gatewayOptions, namespace: 'live' })
export class LiveGateway implements OnGatewayInit {
  constructor(
    @Inject(Authenticator) private readonly authenticator: Authenticator,
    @Inject(Announcements) private readonly announcements: Announcements,
    @Inject(Views) private readonly views: Views,
    @Inject(ReleaseViews) private readonly releases: ReleaseViews,
    @Inject(Strangers) private readonly strangers: Strangers,
    @Inject(LOG) private readonly log: Log,
  ) {}

  afterInit(live: LiveNamespace): void {
    live.use((socket, next) => {
      this.identify(socket, true).then(
        (operator) => {
          socket.data.operator = operator;
          this.strangers.know(socket.conn);
          next();
        },
        (error: unknown) => {
          const wire = toWireError(error);
          next(Object.assign(new Error(wire.code), { data: wire }));
        },
      );
    });
    this.announcements.listen('access.changed', () => this.recheck(live));
    setInterval(() => this.recheck(live), RECHECK_MS).unref();

    this.pass(
      live,
      'organisation.changed',
      (name) => this.views.organisation(name),
      ({ name }) =>
        async (operator) =>
          (await this.views.memberTest(operator))(name),
    );
    this.pass(
      live,
      'run.changed',
      (id) => this.views.run(id),
      ({ id }) =>
        (operator) =>
          seesRun(operator, id),
    );
    this.pass(
      live,
      'round.changed',
      (id) => this.views.round(id),
      ({ runId }) =>
        (operator) =>
          seesRun(operator, runId),
    );
    this.pass(
      live,
      'version.published',
      (id) => this.views.version(id),
      ({ runId }) =>
        (operator) =>
          seesRun(operator, runId),
    );
    this.pass(
      live,
      'version.changed',
      (id) => this.views.version(id),
      ({ runId }) =>
        (operator) =>
          seesRun(operator, runId),
    );
    this.pass(
      live,
      'repository.changed',
      (name) => this.releases.repository(name),
      ({ runs }) =>
        (operator) =>
          runs.every((run) => seesRun(operator, run)),
    );
  }

  /** Sends what an announcement is about to whoever may see it. */
  private pass<Name extends keyof LiveEvents, Value extends Parameters<LiveEvents[Name]>[0]>(
    live: LiveNamespace,
    name: Name,
    read: (id: string) => Promise<Value | undefined>,
    testOf: (value: Value) => (operator: Operator) => boolean | Promise<boolean>,
  ): void {
    const send = async (id: string): Promise<void> => {
      const value = await read(id);
      if (value === undefined) return;
      const maySee = testOf(value);
      for (const socket of live.sockets.values()) {
        // Safe: the event map gives every event exactly one value, of this type.
        if (await maySee(socket.data.operator)) (socket as Socket).emit(name, value);
      }
    };
    this.announcements.listen(name, (id) => {
      if (live.sockets.size === 0) return;
      send(id).catch((error: unknown) => this.log.error('live.event.failed', { name, err: error }));
    });
  }

  /** Ends connections whose sign-in or token is no longer good; what its user may see may have changed, too. */
  private recheck(live: LiveNamespace): void {
    for (const socket of live.sockets.values()) {
      this.identify(socket, false).then(
        (operator) => (socket.data.operator = operator),
        () => socket.disconnect(true),
      );
    }
  }

  /** @throws FedloraError session/required | session/not-allowed */
  private async identify(socket: LiveSocket, isUse: boolean): Promise<Operator> {
    const principal = await this.authenticator.identify(credentialsOfSocket(socket), isUse);
    if (principal === undefined) throw new FedloraError('session/required');
    if (!isOperator(principal)) throw new FedloraError('session/not-allowed');
    const isPermitted = principal.permissions.has('runs.read') && principal.permissions.has('organisations.read');
    if (!isPermitted) throw new FedloraError('session/not-allowed');
    return principal;
  }
}

/** A token in the hand-shake, or the cookie of a page of this coordinator. Browsers name the origin of every page but our own. */
function credentialsOfSocket({ handshake }: LiveSocket): Credentials {
  const token: unknown = handshake.auth.token;
  if (typeof token === 'string') return { bearer: token };
  const { origin, host } = handshake.headers;
  const isOurs = origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
  return isOurs ? credentialsOf({ cookie: handshake.headers.cookie }) : {};
}
