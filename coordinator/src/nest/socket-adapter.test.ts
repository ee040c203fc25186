import { EventEmitter } from 'node:events';
import { from } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { SocketAdapter } from './socket-adapter.js';

/** A connection whose messages of the kind `asked` are answered with `handle`'s answer, and what is logged as failed. */
function listening(handle: (data: unknown) => unknown): { readonly socket: EventEmitter; readonly failed: unknown[] } {
  const adapter = new SocketAdapter();
  const failed: unknown[] = [];
  vi.spyOn(Reflect.get(adapter, 'logger') as { error(error: unknown): void }, 'error').mockImplementation((error) => {
    failed.push(error);
  });
  const socket = new EventEmitter();
  // As Nest does: whatever a handler returns becomes a stream of its answers.
  adapter.bindMessageHandlers(socket, [{ message: 'asked', callback: handle }], (returned) =>
    from(Promise.resolve(returned)),
  );
  return { socket, failed };
}

async function answerTo(socket: EventEmitter, ...sent: unknown[]): Promise<unknown> {
  return new Promise((resolve) => socket.emit('asked', ...sent, resolve));
}

describe('messages of a socket', () => {
  it('are answered with what their handler returns, whatever comes with them', async () => {
    const { socket } = listening((data) => Promise.resolve({ had: data }));
    expect(await answerTo(socket, { a: 1 })).toEqual({ had: { a: 1 } });
    expect(await answerTo(socket)).toEqual({ had: undefined });
    expect(await answerTo(socket, 1, 2)).toEqual({ had: [1, 2] });
    expect(await answerTo(socket, [3])).toEqual({ had: [3] });
  });

  it('need not ask for an answer', async () => {
    const handled: unknown[] = [];
    const { socket, failed } = listening((data) => handled.push(data));
    socket.emit('asked', 'a');
    socket.emit('asked');
    await vi.waitFor(() => expect(handled).toEqual(['a', undefined]));
    expect(failed).toEqual([]);
  });

  it('are answered on, after one whose handler failed, which is logged', async () => {
    const { socket, failed } = listening((data) => {
      if (data === 'at once') throw new Error('at once');
      return data === 'later' ? Promise.reject(new Error('later')) : data;
    });
    socket.emit('asked', 'at once', () => failed.push('answered'));
    socket.emit('asked', 'later', () => failed.push('answered'));
    expect(await answerTo(socket, 'fine')).toBe('fine');
    await vi.waitFor(() => expect(failed).toEqual([new Error('at once'), new Error('later')]));
  });

  it('of other kinds are left alone', () => {
    const { socket } = listening(() => undefined);
    expect(socket.eventNames()).toEqual(['asked']);
  });
});
