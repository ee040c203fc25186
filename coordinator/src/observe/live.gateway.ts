import { Inject } from '@nestjs/common';
import { WebSocketGateway, type OnGatewayInit } from '@nestjs/websockets';
import type { Namespace } from 'socket.io';
import { toWireError, type LiveEvents } from '@fedlora/shared';
import { gatewayOptions } from '../nest/gateway-options.js';
import { LOG } from '../nest/tokens.js';
import { Access } from '../session/access.js';
import { Announcements } from './announcements.js';
import type { Log } from './log.js';
import { Views } from './views.js';

/** Tells operators what changes, as it changes. */
@WebSocketGateway({ ...gatewayOptions, namespace: 'live' })
export class LiveGateway implements OnGatewayInit {
  constructor(
    @Inject(Access) private readonly access: Access,
    @Inject(Announcements) private readonly announcements: Announcements,
    @Inject(Views) private readonly views: Views,
    @Inject(LOG) private readonly log: Log,
  ) {}

  afterInit(live: Namespace<Record<string, never>, LiveEvents>): void {
    live.use((socket, next) => {
      try {
        const token: unknown = socket.handshake.auth.token;
        this.access.expectOperator(typeof token === 'string' ? token : undefined);
        next();
      } catch (error) {
        const wire = toWireError(error);
        next(Object.assign(new Error(wire.code), { data: wire }));
      }
    });
    const pass = <Name extends keyof LiveEvents>(
      name: Name,
      read: (id: string) => Promise<Parameters<LiveEvents[Name]>[0] | undefined>,
    ): void =>
      this.announcements.listen(name, (id) => {
        if (live.sockets.size === 0) return;
        read(id).then(
          // Safe: the event map gives every event exactly one value, of this type.
          (value) => value !== undefined && (live as Namespace).emit(name, value),
          (error: unknown) => this.log.error('live.event.failed', { name, err: error }),
        );
      });
    pass('organisation.changed', (name) => this.views.organisation(name));
    pass('run.changed', (id) => this.views.run(id));
    pass('round.changed', (id) => this.views.round(id));
    pass('version.published', (id) => this.views.version(id));
  }
}
