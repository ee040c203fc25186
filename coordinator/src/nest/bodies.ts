/** Bodies that nobody wants to the end: read and forgotten, since a sender that is cut off in the middle may never see the answer. */

import type { Request } from 'express';

/** Two whole pieces of an upload: whoever sends no more hears why it was refused, and keeps its connection. */
const MOST_BYTES = 8 * 1024 * 1024;
const LONGEST_MS = 15_000;

/** Ends the connection of a request whose body is longer. For bodies that somebody reads from the first byte on. */
export function endBeyond(request: Request, mostBytes = MOST_BYTES): void {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > mostBytes) request.socket.destroy();
  });
}

/** Reads the rest of a request that was answered before its end. One that does not come to an end is cut off. */
export function readOut(request: Request, mostBytes = MOST_BYTES, longestMs = LONGEST_MS): void {
  if (request.complete || request.destroyed) return;
  const timer = setTimeout(() => request.socket.destroy(), longestMs).unref();
  request.once('close', () => clearTimeout(timer));
  request.once('end', () => clearTimeout(timer));
  endBeyond(request, mostBytes);
  request.resume();
}
