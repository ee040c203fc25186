/** This client's seat in one secure aggregation: holds the role's state, and wipes secrets as soon as the protocol lets go of them. */

import {
  createAdvertise,
  createMaskedInput,
  handleKeyList,
  handleRevealList,
  handleShareDelivery,
  handleSurvivorList,
  handleSurvivorProof,
  secretsIn,
  wipe,
  type MaskedUpdate,
  type NoisedUpdate,
  type ParticipantParts,
  type ParticipantState,
  type SecaggTerms,
  type SilentStep,
} from '@fedlora/protocol';
import { FedloraError } from '@fedlora/shared';

export class SecaggSeat {
  private state: ParticipantState | undefined;

  constructor(
    private readonly parts: ParticipantParts,
    private readonly terms: SecaggTerms,
    private readonly me: number,
  ) {}

  /** Fresh keys, signed. */
  advertise(): Uint8Array {
    const step = createAdvertise(this.parts, this.terms, this.me);
    this.keep(step);
    return step.message;
  }

  /** With a graph: the randomness that this client committed to, for one key list. */
  reveal(keyList: Uint8Array): Uint8Array {
    const step = handleKeyList(this.parts, this.current(), keyList);
    this.keep(step);
    return step.message;
  }

  /** Shares of this round's two secrets, sealed for each who is to hold them. `list`: of keys, or with a graph of randomness. */
  share(list: Uint8Array): Uint8Array {
    const handle = this.terms.graph === undefined ? handleKeyList : handleRevealList;
    const step = handle(this.parts, this.current(), list);
    this.keep(step);
    return step.message;
  }

  /** Opens what the others dealt; returns the participants whose shares are unusable. */
  receive(delivery: Uint8Array): readonly number[] {
    const step = handleShareDelivery(this.parts, this.current(), delivery);
    this.keep(step);
    return step.state.phase === 'ready' ? step.state.faulty.map((fault) => fault.participant) : [];
  }

  /** The masked words, and the signed receipt for them. */
  mask(noised: NoisedUpdate): { readonly masked: MaskedUpdate; readonly receipt: Uint8Array } {
    const step = createMaskedInput(this.parts, this.current(), noised);
    this.keep(step);
    return { masked: step.masked, receipt: step.message };
  }

  /** Signs the list of those who sent something. */
  sign(survivors: Uint8Array): Uint8Array {
    const step = handleSurvivorList(this.parts, this.current(), survivors);
    this.keep(step);
    return step.message;
  }

  /** The shares that uncover the sum. The caller writes its decision to disk before it sends them. */
  unmask(proof: Uint8Array): Uint8Array {
    const step = handleSurvivorProof(this.parts, this.current(), proof);
    this.keep(step);
    return step.message;
  }

  /** Wipes whatever is left: the round is over for this client. */
  leave(): void {
    if (this.state !== undefined) wipe(secretsIn(this.state));
    this.state = undefined;
  }

  private keep(step: SilentStep): void {
    this.state = step.state;
    wipe(step.consumed);
  }

  private current(): ParticipantState {
    if (this.state === undefined) throw new FedloraError('round/forgotten');
    return this.state;
  }
}
