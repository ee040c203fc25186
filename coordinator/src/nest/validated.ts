/** Values from outside as instances of their classes, or an error that names every field that is wrong. */

import { plainToInstance } from 'class-transformer';
import { validateSync, type ValidationError } from 'class-validator';
import { FedloraError, type FieldProblem } from '@fedlora/shared';

/** A message whose fields are wrong, with what is wrong with each: forms show it next to the field. */
export class InvalidFields extends FedloraError {
  constructor(readonly fields: readonly FieldProblem[]) {
    super('request/invalid', fields.map(({ message }) => message).join('; '));
  }
}

/** @throws FedloraError request/invalid: names the fields, never their values */
export function validated<Message extends object>(type: new () => Message, value: unknown): Message {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FedloraError('request/invalid', 'The message is no object.');
  }
  const message = plainToInstance(type, value);
  const errors = validateSync(message, { whitelist: true, forbidNonWhitelisted: true, forbidUnknownValues: true });
  if (errors.length > 0) throw new InvalidFields(describe(errors, ''));
  return message;
}

function describe(errors: readonly ValidationError[], path: string): FieldProblem[] {
  return errors.flatMap(({ property, constraints, children }) => [
    ...Object.values(constraints ?? {}).map((text) => ({ field: `${path}${property}`, message: `${path}${text}` })),
    ...describe(children ?? [], `${path}${property}.`),
  ]);
}
