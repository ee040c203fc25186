/** How far the uploads of open rounds are, in memory, for whoever watches. After a restart each is known again from its next piece on. */

/** Each change is told to every dashboard: often enough for the eye. */
const TELL_EVERY_MS = 1_000;

export class UploadProgress {
  /** Bytes by round and participant. */
  private readonly received = new Map<string, Map<number, number>>();
  private readonly toldAt = new Map<string, number>();

  constructor(
    private readonly parts: {
      /** At most once a second for each round. */
      readonly tell: (roundId: string) => void;
      /** A piece may still be coming when its round ends: nothing is remembered of that, or it would be for ever. */
      readonly isOpen: (roundId: string) => boolean;
      readonly now: () => number;
    },
  ) {}

  /** Bytes of a contribution that are here. */
  of(roundId: string, participant: number): number {
    return this.received.get(roundId)?.get(participant) ?? 0;
  }

  /** The same bytes; each chunk counts once whoever reads them asks for the next, as then it is stored. */
  async *counting(
    roundId: string,
    participant: number,
    offset: number,
    bytes: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    let stored = offset;
    for await (const chunk of bytes) {
      yield chunk;
      stored += chunk.length;
      this.note(roundId, participant, stored);
    }
  }

  forget(roundId: string): void {
    this.received.delete(roundId);
    this.toldAt.delete(roundId);
  }

  private note(roundId: string, participant: number, stored: number): void {
    if (!this.parts.isOpen(roundId)) return;
    const ofRound = this.received.get(roundId) ?? new Map<number, number>();
    this.received.set(roundId, ofRound.set(participant, stored));
    const at = this.parts.now();
    if (at - (this.toldAt.get(roundId) ?? -Infinity) < TELL_EVERY_MS) return;
    this.toldAt.set(roundId, at);
    this.parts.tell(roundId);
  }
}
