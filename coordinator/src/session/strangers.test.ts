import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { Strangers, type EngineConnection } from './strangers.js';

function aConnection(): { connection: EngineConnection; sends: (bytes: number) => void; isEnded: () => boolean } {
  const socket = Object.assign(new EventEmitter(), { destroy: vi.fn() });
  return {
    connection: { request: { socket: socket as unknown as Socket } },
    sends: (bytes) => socket.emit('data', Buffer.alloc(bytes)),
    isEnded: () => socket.destroy.mock.calls.length > 0,
  };
}

describe('a socket that has not said who it is', () => {
  it('may send what that takes, and is ended when it sends more', () => {
    const { connection, sends, isEnded } = aConnection();
    new Strangers(1000).watch(connection);
    sends(600);
    sends(400);
    expect(isEnded()).toBe(false);
    sends(1);
    expect(isEnded()).toBe(true);
  });

  it('may send anything once it is known', () => {
    const { connection, sends, isEnded } = aConnection();
    const strangers = new Strangers(1000);
    strangers.watch(connection);
    sends(1000);
    strangers.know(connection);
    sends(1_000_000);
    expect(isEnded()).toBe(false);
  });
});
