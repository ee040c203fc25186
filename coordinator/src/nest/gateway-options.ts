import { limits } from '@fedlora/shared';

/** One server carries every namespace, and takes the options of whichever gateway Nest makes first: so all have the same. */
export const gatewayOptions = {
  maxHttpBufferSize: limits.controlMessageBytes + 64 * 1024,
  serveClient: false,
} as const;
