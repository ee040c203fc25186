/** Where a coordinator may be: over TLS anywhere, without it on this machine only. */

/** Whether `address` is an https address, or an http address of this machine: 127.0.0.0/8, ::1 or localhost. */
export function isSafeAddress(address: string): boolean {
  if (!URL.canParse(address)) return false;
  const { protocol, hostname } = new URL(address); // writes every form of an IPv4 address as four numbers
  if (protocol === 'https:') return true;
  return protocol === 'http:' && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
}
