/**
 * The list of revoked keys that every offer carries. The federation key signs it offline; the operator brings it here.
 *
 * A revoked member gets no session and is in no new roster, and a run whose roster names it has no further round.
 */

import { checkSupersedes, readRevocations, type CryptoProvider, type RevocationList } from '@fedlora/protocol';
import type { Origin } from '../audit/origin.js';

export interface RevocationParts {
  readonly crypto: CryptoProvider;
  readonly federationKey: string;
  /** Keeps the text on disk, and records by whom it came. */
  readonly store: (text: string, list: RevocationList, by: Origin) => Promise<void>;
}

export class Revocations {
  /** Called when a newer list was accepted. */
  onChange: () => void = () => undefined;
  private current: { readonly text: string; readonly list: RevocationList } | undefined;

  /** `stored`: the text that was kept. @throws ProtocolError roster/revocations-invalid: the stored one was changed */
  constructor(
    private readonly parts: RevocationParts,
    stored: string | undefined,
  ) {
    this.load(stored);
  }

  /** Takes the stored list, which another coordinator may have brought up to date. @throws ProtocolError roster/revocations-invalid */
  load(stored: string | undefined): void {
    if (stored !== undefined) this.current = { text: stored, list: this.read(stored) };
  }

  /** The signed list as it travels; `undefined` before the first. */
  get text(): string | undefined {
    return this.current?.text;
  }

  get epoch(): number {
    return this.current?.list.epoch ?? 0;
  }

  isRevoked(identity: string): boolean {
    return this.current?.list.revoked.includes(identity) ?? false;
  }

  /**
   * Takes the place of the list before.
   *
   * @throws ProtocolError roster/revocations-invalid | roster/revocations-outdated
   */
  async replace(text: string, by: Origin): Promise<RevocationList> {
    const list = this.read(text);
    checkSupersedes(this.current?.list, list);
    await this.parts.store(text, list, by);
    this.current = { text, list };
    this.onChange();
    return list;
  }

  private read(text: string): RevocationList {
    return readRevocations(this.parts.crypto, this.parts.federationKey, text);
  }
}
