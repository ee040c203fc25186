/**
 * Cuts files of rows into rows while they are read, so that a file may be larger than memory and errors can name a line.
 *
 * It finds where a row begins and ends, and leaves to JSON.parse whether it is valid. Both splitters work on bytes: in UTF-8 no
 * byte of a longer character equals a quote, bracket or line end.
 */

/** One row's bytes, or `null` if there were more than the limit. `line` counts from 1 and is where the row begins. */
export interface Piece {
  readonly line: number;
  readonly bytes: Uint8Array | null;
}

/** How a file ended: complete, or what is wrong with it as a whole. */
export type Ending =
  { readonly kind: 'complete' } | { readonly kind: 'broken'; readonly line: number; readonly reason: string };

export interface Splitter {
  /** Takes the next bytes of the file; returns the rows that are complete with them. */
  push(chunk: Uint8Array): Piece[];
  /** Takes the end of the file; returns what was still open. */
  end(): { readonly pieces: Piece[]; readonly ending: Ending };
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

const isSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === NEWLINE || byte === RETURN;

/** The bytes of one row, collected over chunks, and dropped once they are over the limit. */
class Collector {
  #parts: Uint8Array[] = [];
  #length = 0;

  constructor(private readonly limit: number) {}

  add(part: Uint8Array): void {
    this.#length += part.length;
    if (this.#length > this.limit) this.#parts = [];
    // Copied, since the stream may use its buffer again.
    else if (part.length > 0) this.#parts.push(Uint8Array.from(part));
  }

  take(): Uint8Array | null {
    const bytes = this.#length > this.limit ? null : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#length = 0;
    return bytes;
  }
}

/** One row a line. Blank lines are none; a carriage return before the line end belongs to it. */
export class LineSplitter implements Splitter {
  readonly #row: Collector;
  #line = 1;

  constructor(limit: number) {
    this.#row = new Collector(limit);
  }

  push(chunk: Uint8Array): Piece[] {
    const pieces: Piece[] = [];
    let begin = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, begin)) {
      this.#row.add(chunk.subarray(begin, end));
      this.#finish(pieces);
      this.#line++;
      begin = end + 1;
    }
    this.#row.add(chunk.subarray(begin));
    return pieces;
  }

  end(): { pieces: Piece[]; ending: Ending } {
    const pieces: Piece[] = [];
    this.#finish(pieces);
    return { pieces, ending: { kind: 'complete' } };
  }

  #finish(pieces: Piece[]): void {
    const bytes = this.#row.take();
    if (bytes === null || !bytes.every(isSpace)) pieces.push({ line: this.#line, bytes });
  }
}

/** The elements of one JSON array. */
export class ArraySplitter implements Splitter {
  readonly #row: Collector;
  #line = 1;
  #where: 'before' | 'between' | 'inside' | 'after' = 'before';
  #rowLine = 1;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #afterComma = false;
  #broken: Ending | undefined;

  constructor(limit: number) {
    this.#row = new Collector(limit);
  }

  push(chunk: Uint8Array): Piece[] {
    const pieces: Piece[] = [];
    let begin = 0; // of the open row's part in this chunk
    for (let i = 0; i < chunk.length && this.#broken === undefined; i++) {
      const byte = chunk[i];
      if (byte === NEWLINE) this.#line++;
      if (this.#where === 'inside') {
        if (!this.#endsRow(byte)) continue;
        this.#row.add(chunk.subarray(begin, i));
        pieces.push({ line: this.#rowLine, bytes: this.#row.take() });
        this.#leave(byte);
      } else if (!isSpace(byte)) {
        this.#enter(byte, pieces);
        begin = i;
      }
    }
    if (this.#where === 'inside') this.#row.add(chunk.subarray(begin));
    return pieces;
  }

  end(): { pieces: Piece[]; ending: Ending } {
    if (this.#broken !== undefined) return { pieces: [], ending: this.#broken };
    if (this.#where === 'after') return { pieces: [], ending: { kind: 'complete' } };
    const reason =
      this.#where === 'before'
        ? 'is empty'
        : 'ends before its closing bracket: it was cut short, or a quote is missing';
    return {
      pieces: [],
      ending: { kind: 'broken', line: this.#where === 'inside' ? this.#rowLine : this.#line, reason },
    };
  }

  /** Follows strings and brackets; true at the comma or bracket that ends the row. */
  #endsRow(byte: number): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === BACKSLASH) this.#escaped = true;
      else if (byte === QUOTE) this.#inString = false;
      return false;
    }
    if (this.#depth === 0 && (byte === COMMA || byte === CLOSE_BRACKET)) return true;
    if (byte === QUOTE) this.#inString = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth++;
    else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && this.#depth > 0) this.#depth--;
    return false;
  }

  #leave(byte: number): void {
    this.#where = byte === COMMA ? 'between' : 'after';
    this.#afterComma = byte === COMMA;
  }

  /** A byte that is no space, outside a row. */
  #enter(byte: number, pieces: Piece[]): void {
    if (this.#where === 'before') {
      if (byte === OPEN_BRACKET) this.#where = 'between';
      else
        this.#break(
          byte === OPEN_BRACE
            ? 'begins with `{`, not `[`: if it has one object a line, name it .jsonl'
            : 'does not begin with `[`',
        );
    } else if (this.#where === 'after') {
      this.#break('has text after its closing bracket');
    } else if (byte === COMMA || byte === CLOSE_BRACKET) {
      // [,] and [1,] have an empty row; [] has none.
      if (byte === COMMA || this.#afterComma) pieces.push({ line: this.#line, bytes: new Uint8Array() });
      this.#leave(byte);
    } else {
      this.#where = 'inside';
      this.#rowLine = this.#line;
      this.#depth = 0;
      this.#inString = false;
      this.#escaped = false;
      this.#endsRow(byte);
    }
  }

  #break(reason: string): void {
    this.#broken = { kind: 'broken', line: this.#line, reason };
  }
}
