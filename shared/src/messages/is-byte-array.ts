import { registerDecorator, type ValidationOptions } from 'class-validator';

/** The value is a `Uint8Array` (Node's `Buffer` included) of at most `maximumBytes`. */
export function IsByteArray(limit: { maximumBytes: number }, options?: ValidationOptions): PropertyDecorator {
  return (target, propertyName) => {
    registerDecorator({
      name: 'isByteArray',
      target: target.constructor,
      propertyName: String(propertyName),
      ...(options === undefined ? {} : { options }),
      validator: {
        validate: (value: unknown) => value instanceof Uint8Array && value.byteLength <= limit.maximumBytes,
        defaultMessage: () => `${String(propertyName)} must be at most ${limit.maximumBytes} bytes`,
      },
    });
  };
}
