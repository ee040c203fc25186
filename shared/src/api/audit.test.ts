import { describe, expect, it } from 'vitest';
import { auditLine, NO_AUDIT_HASH, verifyAuditLines, type AuditEntry, type AuditLine } from './audit.js';

/** Lines of a chain of `count` entries. */
function chain(count: number): string[] {
  const lines: string[] = [];
  let previous = NO_AUDIT_HASH;
  for (let sequence = 1; sequence <= count; sequence += 1) {
    const entry: AuditEntry = {
      sequence,
      previous,
      at: 1000 + sequence,
      event: 'run.started',
      actor: { kind: 'user', id: 'u1', name: 'ada' },
      address: '203.0.113.7',
      requestId: `request-${sequence}`,
      details: { runId: `run-${sequence}` },
      before: null,
      after: { status: 'running' },
    };
    const { hash } = auditLine(entry);
    lines.push(JSON.stringify({ entry, hash }));
    previous = hash;
  }
  return lines;
}

function changed(line: string, change: (entry: Record<string, unknown>) => void): string {
  const parsed = JSON.parse(line) as AuditLine;
  change(parsed.entry as unknown as Record<string, unknown>);
  return JSON.stringify(parsed);
}

const broken = expect.objectContaining({ code: 'audit/broken-chain' }) as Error;

describe('an audit export', () => {
  it('has hashes that anybody can compute: SHA-256 of a tag and the canonical JSON of the entry', () => {
    const entry = (JSON.parse(chain(1)[0]) as AuditLine).entry;
    // By Python's hashlib over the JSON with sorted keys.
    expect(auditLine(entry).hash).toBe('15ddf82712b5f23bc3379608778367f03707b91fa6d8481baf310b5e13e39e2d');
  });

  it('is whole when every entry names the one before it', () => {
    const lines = chain(4);
    const head = verifyAuditLines(lines);
    expect(head).toEqual({ sequence: 4, hash: (JSON.parse(lines[3]) as AuditLine).hash });
    expect(verifyAuditLines([])).toEqual({ sequence: 0, hash: NO_AUDIT_HASH });
    expect(verifyAuditLines([...lines, ''])).toEqual(head);
  });

  it('goes on from where an earlier one ended, and from nowhere else', () => {
    const lines = chain(5);
    const head = verifyAuditLines(lines.slice(0, 3));
    expect(verifyAuditLines(lines.slice(3), head).sequence).toBe(5);
    expect(() => verifyAuditLines(lines.slice(4), head)).toThrow(broken);
    expect(() => verifyAuditLines(lines.slice(3))).toThrow(broken);
    expect(() => verifyAuditLines(lines.slice(3), { ...head, hash: 'f'.repeat(64) })).toThrow('Line 1');
  });

  it.each<[string, (lines: string[]) => string[]]>([
    [
      'an event was changed',
      (lines) =>
        lines.with(
          1,
          changed(lines[1], (entry) => (entry.event = 'run.stopped')),
        ),
    ],
    [
      'who did it was changed',
      (lines) =>
        lines.with(
          1,
          changed(lines[1], (entry) => (entry.actor = { kind: 'system' })),
        ),
    ],
    [
      'a field was added',
      (lines) =>
        lines.with(
          1,
          changed(lines[1], (entry) => (entry.extra = 1)),
        ),
    ],
    ['a line was removed', (lines) => lines.toSpliced(1, 1)],
    ['two lines changed places', (lines) => [lines[0], lines[2], lines[1], lines[3]]],
    ['a line is there twice', (lines) => lines.toSpliced(1, 0, lines[1])],
    ['the first line is missing', (lines) => lines.slice(1)],
    ['a line is no JSON', (lines) => lines.with(2, lines[2].slice(1))],
    ['a line is something else', (lines) => lines.with(2, '{"entry":null,"hash":""}')],
    ['a value has no canonical form', (lines) => lines.with(2, lines[2].replace('run-3', '\\ud800'))],
    [
      'a hash was made to fit, and the next line knows another',
      (lines) => {
        const entry = { ...(JSON.parse(lines[1]) as AuditLine).entry, event: 'run.stopped' };
        return lines.with(1, JSON.stringify({ entry, hash: auditLine(entry).hash }));
      },
    ],
  ])('is refused when %s', (_what, tamper) => {
    expect(() => verifyAuditLines(tamper(chain(4)))).toThrow(broken);
  });
});
