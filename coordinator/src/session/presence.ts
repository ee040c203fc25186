/** Who is connected, in what state, and how to reach them. */

import { FedloraError, type ClientState, type ServerToClientEvents, type SessionHello } from '@fedlora/shared';
import type { OrganisationsRepository } from '../enrolment/organisations.repository.js';
import type { Announcements } from '../observe/announcements.js';
import { expectWireVersion } from './session.service.js';

/** One socket of a client. */
export interface Connection {
  readonly id: string;
  send<Event extends keyof ServerToClientEvents>(event: Event, value: Parameters<ServerToClientEvents[Event]>[0]): void;
  /** Resolves when everything that was sent is handed to the network, or the connection is gone. */
  flushed(): Promise<void>;
  close(): void;
}

/** Sends one value to many connections: made into bytes once. */
export type Broadcast = <Event extends keyof ServerToClientEvents>(
  connections: readonly Connection[],
  event: Event,
  value: Parameters<ServerToClientEvents[Event]>[0],
) => void;

interface Present {
  readonly connection: Connection;
  /** `undefined` until the client said hello. */
  readonly state: ClientState | undefined;
}

/** An organisation that was here this recently is worth a moment's wait before a round starts. */
const RECENT_MS = 60_000;

export class Presence {
  private readonly present = new Map<string, Present>();
  private readonly lastSeen = new Map<string, number>();
  /** Set by whoever holds the connections. */
  broadcast: Broadcast = (connections, event, value) => {
    for (const connection of connections) connection.send(event, value);
  };
  /** Called when an organisation may have become able to take part in a round, or unable. */
  onChange: (name: string) => void = () => undefined;

  constructor(
    private readonly organisations: OrganisationsRepository,
    private readonly announcements: Announcements,
    private readonly now: () => number,
  ) {}

  /** A new connection takes the place of an older one of the same organisation. */
  connected(name: string, connection: Connection): void {
    this.present.get(name)?.connection.close();
    this.present.set(name, { connection, state: undefined });
    this.changed(name);
  }

  async disconnected(name: string, connection: Connection): Promise<void> {
    if (!this.isPresent(name, connection)) return;
    this.present.delete(name);
    this.changed(name);
    await this.organisations.seen(name, this.now());
  }

  /** @throws FedloraError session/wire-version */
  async hello(name: string, connection: Connection, hello: SessionHello): Promise<void> {
    expectWireVersion(hello.wireVersion);
    this.update(name, connection, hello.state);
    const { clientVersion: version, device, budget = null } = hello;
    await this.organisations.seen(name, this.now(), { version, device, budget });
    this.changed(name);
  }

  /** @throws FedloraError session/hello-first */
  state(name: string, connection: Connection, state: ClientState): void {
    if (this.present.get(name)?.state === undefined) throw new FedloraError('session/hello-first');
    this.update(name, connection, state);
    this.changed(name);
  }

  /** Ends the connection of an organisation that may no longer have one. */
  expel(name: string): void {
    this.present.get(name)?.connection.close();
  }

  /** Whether this connection is the one that its organisation has. */
  isPresent(name: string, connection: Connection): boolean {
    return this.present.get(name)?.connection.id === connection.id;
  }

  isConnected(name: string): boolean {
    return this.present.has(name);
  }

  stateOf(name: string): ClientState | 'offline' {
    const present = this.present.get(name);
    return present === undefined ? 'offline' : (present.state ?? 'idle');
  }

  lastSeenAt(name: string): number | undefined {
    return this.isConnected(name) ? this.now() : this.lastSeen.get(name);
  }

  /** Whether the client said hello and its owner lets it work. Whether it is busy with a round is the rounds' business. */
  isWilling(name: string): boolean {
    const state = this.present.get(name)?.state;
    return state !== undefined && state !== 'paused' && state !== 'draining';
  }

  wasHereRecently(name: string): boolean {
    const seen = this.lastSeenAt(name);
    return seen !== undefined && this.now() - seen < RECENT_MS;
  }

  /** Organisations that were here before this process started, as the database remembers them. */
  remember(name: string, lastSeenAt: number): void {
    if (!this.lastSeen.has(name)) this.lastSeen.set(name, lastSeenAt);
  }

  get connectedCount(): number {
    return this.present.size;
  }

  /** Sends to an organisation if it is connected and has said hello; what it misses is repeated after its next hello. */
  send<Event extends keyof ServerToClientEvents>(
    name: string,
    event: Event,
    value: Parameters<ServerToClientEvents[Event]>[0],
  ): void {
    const present = this.present.get(name);
    if (present?.state !== undefined) present.connection.send(event, value);
  }

  /** Sends the same to many organisations, as `send`. */
  sendAll<Event extends keyof ServerToClientEvents>(
    names: readonly string[],
    event: Event,
    value: Parameters<ServerToClientEvents[Event]>[0],
  ): void {
    const connections = names.flatMap((name) => {
      const present = this.present.get(name);
      return present?.state === undefined ? [] : [present.connection];
    });
    this.broadcast(connections, event, value);
  }

  /** Resolves when what was sent to an organisation is handed to the network, or cannot be. */
  async flushed(name: string): Promise<void> {
    await this.present.get(name)?.connection.flushed();
  }

  private update(name: string, connection: Connection, state: ClientState): void {
    if (this.isPresent(name, connection)) this.present.set(name, { connection, state });
  }

  private changed(name: string): void {
    this.lastSeen.set(name, this.now());
    this.announcements.tell('organisation.changed', name);
    this.onChange(name);
  }
}
