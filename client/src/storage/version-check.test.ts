import { canonicalJson, toHex, utf8 } from '@fedlora/protocol';
import { nodeProvider, seededRandom } from '@fedlora/protocol/node';
import { checkRecord, versionId, versionMessage, type VersionRecord } from '@fedlora/shared';
import { describe, expect, it } from 'vitest';

const { ed25519 } = nodeProvider;
const seed = seededRandom('coordinator')(32);
const coordinatorKey = toHex(ed25519.publicKey(seed));

const content: Omit<VersionRecord, 'id'> = {
  runId: 'run-1',
  parent: null,
  roundId: null,
  completedRounds: 0,
  manifestHash: '2'.repeat(64),
  rosterHash: '3'.repeat(64),
  base: { name: 'tiny', digest: '4'.repeat(64) },
  unit: 'record',
  epsilon: 0.5,
  delta: 1e-5,
  createdAt: 1,
  files: ['adapter_config.json', 'adapter_model.safetensors'].map((name) => ({
    name,
    bytes: 1,
    sha256: '1'.repeat(64),
  })),
};

/** Checks a record that the coordinator signed, whatever it is. */
function check(record: unknown, bytes = canonicalJson(record)): VersionRecord {
  const signature = utf8(toHex(ed25519.sign(seed, versionMessage(record as VersionRecord))));
  const id = (record as VersionRecord | null)?.id ?? '';
  return checkRecord(id, bytes, signature, coordinatorKey);
}
const named = (changes: object): object => {
  const changed = { ...content, ...changes };
  return { ...changed, id: versionId(changed) };
};

describe('the record of a version', () => {
  it('is read as the coordinator signed it', () => {
    const record = named({});
    expect(check(record)).toEqual(record);
  });

  it.each([
    ['nothing', null],
    ['a text', 'record'],
    ['a record without files', named({ files: 5 })],
    ['a record with a file that is none', named({ files: [null] })],
    ['a record without a base model', named({ base: null })],
    ['a file with a list for a name', named({ files: [{ name: ['README.md'], bytes: 1, sha256: '1'.repeat(64) }] })],
    ['a file with a list for a hash', named({ files: [{ name: 'README.md', bytes: 1, sha256: ['1'.repeat(64)] }] })],
  ])('attack: a coordinator signs %s', (_, record) => {
    expect(() => check(record)).toThrowError(expect.objectContaining({ code: 'version/malformed' }));
  });

  it('attack: another spelling of the same record, which two readers could understand differently', () => {
    const record = named({});
    const text = Buffer.from(canonicalJson(record)).toString('utf8');
    for (const other of [`${text} `, text.replace('{', '{"createdAt":9,'), text.replace('0.5', '5e-1')]) {
      expect(JSON.parse(other)).toEqual(record);
      expect(() => check(record, utf8(other))).toThrowError(expect.objectContaining({ code: 'version/malformed' }));
    }
  });
});
