import { ProtocolError } from '@fedlora/protocol';
import { describe, expect, it } from 'vitest';
import { errorCatalogue, errorEntry, isErrorCode } from './catalogue.js';
import { exitCodeOf, explainError, FedloraError, hasCode, toWireError } from './fedlora-error.js';

describe('FedloraError', () => {
  it('shows the place to its owner and does not send it', () => {
    const error = new FedloraError('data/malformed-row', 'The row lacks `output`.', {
      where: '/home/clinic/rows.json:3',
    });
    expect(error.message).toBe('/home/clinic/rows.json:3: The row lacks `output`.');
    expect(explainError(error)).toContain('rows.json:3');
    expect(explainError(error)).toMatch(/\[data\/malformed-row\] More: deploy\/runbook\/data\.md#datamalformed-row$/);
    const wire = toWireError(error);
    expect(wire).toEqual({
      code: 'data/malformed-row',
      message: 'The row lacks `output`.',
      retry: 'never',
      remedy: 'Correct or remove the row that the message names.',
    });
  });

  it('sends a stranger’s error without its message, which might quote a row', () => {
    const wire = toWireError(new Error('Unexpected token in "my diagnosis is"'));
    expect(wire.code).toBe('internal/unexpected');
    expect(JSON.stringify(wire)).not.toContain('diagnosis');
  });

  it('keeps the code, details and cause of an error of the protocol', () => {
    const thrown = new ProtocolError('secagg/wrong-phase', 'Twice.', { offset: 3 });
    const ours = FedloraError.from(thrown);
    expect(ours.code).toBe('secagg/wrong-phase');
    expect(ours.details).toEqual({ offset: 3 });
    expect(ours.cause).toBe(thrown);
    expect(hasCode(thrown, 'secagg/wrong-phase')).toBe(true);
  });

  it('reads back what was sent, and an unknown code as unexpected', () => {
    const wire = toWireError(new FedloraError('data/empty'));
    expect(FedloraError.fromWire(wire).code).toBe('data/empty');
    expect(FedloraError.fromWire({ ...wire, code: 'future/thing' }).code).toBe('internal/unexpected');
    expect(isErrorCode('__proto__')).toBe(false);
  });

  it('ends a command with the code of its entry, or 1', () => {
    expect(exitCodeOf(new FedloraError('data/empty'))).toBe(22);
    expect(exitCodeOf(new ProtocolError('privacy/not-reachable'))).toBe(1);
    expect(exitCodeOf(new Error('x'))).toBe(70);
  });
});

describe('errorCatalogue', () => {
  it('says of every code in whole sentences what it means and what to do', () => {
    for (const code of Object.keys(errorCatalogue)) {
      if (!isErrorCode(code)) throw new Error(code);
      expect(code).toMatch(/^[a-z0-9-]+\/[a-z0-9-]+$/);
      expect(errorEntry(code).meaning, code).toMatch(/^[A-Z*a-z].*\.$/);
      expect(errorEntry(code).remedy, code).toMatch(/^[A-Z].*\.$/);
    }
  });
});
