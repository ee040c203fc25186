/**
 * Shapes of answers as JSON Schema, held to the types of `shared` by the compiler: a field that a view gains, loses or changes without
 * its schema does not compile.
 */

export type JsonSchema = { readonly [keyword: string]: unknown };

declare const describes: unique symbol;

/** A schema of whatever type, as it is printed. */
export interface Shape {
  readonly json: JsonSchema;
  /** Under which a document lists it once; `undefined` for one that is written out. */
  readonly name?: string;
}

/** The schema of exactly the values of a type. */
export interface Schema<Value> extends Shape {
  /** Both ways, so that a schema of less, or of more, does not fit. */
  readonly [describes]?: (value: Value) => Value;
}

type Fields<Value> = { readonly [Name in keyof Value]-?: Schema<Value[Name]> };

export function text(keywords: JsonSchema = {}): Schema<string> {
  return { json: { type: 'string', ...keywords } };
}

export const number: Schema<number> = { json: { type: 'number' } };
export const integer: Schema<number> = { json: { type: 'integer' } };
export const boolean: Schema<boolean> = { json: { type: 'boolean' } };
/** Unix milliseconds. */
export const time: Schema<number> = { json: { type: 'integer', description: 'Unix milliseconds.' } };

export function oneOf<Value extends string>(values: readonly Value[]): Schema<Value> {
  return { json: { type: 'string', enum: values } };
}

export function orNull<Value>(schema: Schema<Value>): Schema<Value | null> {
  return { json: { anyOf: [schemaOrReference(schema), { type: 'null' }] } };
}

export function orAbsent<Value>(schema: Schema<Value>): Schema<Value | undefined> {
  return { ...schema, json: { ...schema.json, [ABSENT]: true } } as Schema<Value | undefined>;
}

export function listOf<Value>(items: Schema<Value>): Schema<readonly Value[]> {
  return { json: { type: 'array', items: schemaOrReference(items) } };
}

export function mapOf<Value>(values: Schema<Value>): Schema<Readonly<Record<string, Value>>> {
  return { json: { type: 'object', additionalProperties: schemaOrReference(values) } };
}

/** Any JSON: for parts whose shape is another document's. */
export function anyObject<Value extends object>(description: string): Schema<Value> {
  return { json: { type: 'object', description } };
}

export function objectOf<Value extends object>(name: string, fields: Fields<Value>): Schema<Value> {
  const entries = Object.entries<Shape>(fields);
  const json = {
    type: 'object',
    additionalProperties: false,
    required: entries.filter(([, { json: schema }]) => schema[ABSENT] !== true).map(([field]) => field),
    properties: Object.fromEntries(entries.map(([field, schema]) => [field, schemaOrReference(schema)])),
  };
  named.set(name, json);
  return { json, name };
}

/** Every named schema so far, by name: what references point to. */
export const named = new Map<string, JsonSchema>();

/** Marks a field that may be missing; never printed. */
const ABSENT = Symbol('absent') as unknown as string;

export function schemaOrReference({ json, name }: Shape): JsonSchema {
  return name === undefined ? json : { $ref: `#/components/schemas/${name}` };
}
