import { describe, expect, it } from 'vitest';
import { ArraySplitter, LineSplitter, type Splitter } from './split-json.js';

const texts = [
  '[{"a":"]},\\"["}, [1,[2]] ,3,"x,y"\n]',
  '\n\n[\n{"ü😀":"\\\\"},\n\n"\\\\\\""\n]  \n',
  '[,1,,]',
  '[{"a":1},',
  '["open',
  'no array',
  '[1] 2',
  '[}},1]',
  '{"a":1}\r\n\n[2]\n"x"',
  '',
];

/** All rows and the ending, of a text that arrives in pieces of these lengths, used over and over. */
function split(splitter: Splitter, text: string, lengths: readonly number[]): unknown {
  const bytes = Buffer.from(text);
  const rows = [];
  for (let at = 0, k = 0; at < bytes.length; k++) {
    const length = lengths[k % lengths.length];
    // The buffer is spoilt afterwards, as a stream may do.
    const chunk = Uint8Array.from(bytes.subarray(at, at + length));
    rows.push(...splitter.push(chunk));
    chunk.fill(0x22);
    at += length;
  }
  const { pieces, ending } = splitter.end();
  return {
    ending,
    rows: [...rows, ...pieces].map(({ line, bytes: row }) => [line, row && Buffer.from(row).toString()]),
  };
}

describe.each([
  ['ArraySplitter', (limit: number) => new ArraySplitter(limit)],
  ['LineSplitter', (limit: number) => new LineSplitter(limit)],
])('%s', (_, make) => {
  it.each(texts)('cuts %j alike however it arrives, and whatever the limit', (text) => {
    for (const limit of [3, 1000]) {
      const whole = split(make(limit), text, [1000]);
      for (const lengths of [[1], [2], [3], [1, 4, 2], [7]]) expect(split(make(limit), text, lengths)).toEqual(whole);
    }
  });
});

describe('ArraySplitter', () => {
  it('gives the rows between commas, with their lines', () => {
    expect(split(new ArraySplitter(99), texts[0], [99])).toEqual({
      ending: { kind: 'complete' },
      rows: [
        [1, '{"a":"]},\\"["}'],
        [1, '[1,[2]] '],
        [1, '3'],
        [1, '"x,y"\n'],
      ],
    });
  });

  it('gives null for a row over the limit, and the next one whole', () => {
    expect(split(new ArraySplitter(3), '["long",\n12]', [2])).toMatchObject({
      rows: [
        [1, null],
        [2, '12'],
      ],
    });
  });
});
