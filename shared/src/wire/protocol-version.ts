/** The version both programs must share; raised whenever a message changes its meaning. */
export const WIRE_VERSION = 1;

/** Limits that both sides enforce before they allocate. */
export const limits = {
  /** Largest control message over the socket. Bulk goes by HTTP. */
  controlMessageBytes: 4 * 1024 * 1024,
  /** One piece of a resumable upload. */
  uploadPieceBytes: 4 * 1024 * 1024,
  /** Largest file of an adapter version. */
  adapterFileBytes: 4 * 1024 * 1024 * 1024,
  /** Largest JSON body of the HTTP API. */
  jsonBodyBytes: 1024 * 1024,
} as const;
