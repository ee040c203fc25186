import type { PipeTransform } from '@nestjs/common';
import { validated } from './validated.js';

/** Validates a body: `@Body(new ValidatedPipe(EnrolRequest))`. */
export class ValidatedPipe<Message extends object> implements PipeTransform<unknown, Message> {
  constructor(private readonly type: new () => Message) {}

  transform(value: unknown): Message {
    return validated(this.type, value);
  }
}
