/** JSON Schema, as much of it as our OpenAPI document uses: values that fit one, and where a value does not. */

import * as fc from 'fast-check';

type JsonSchema = { readonly [keyword: string]: unknown };
type Schemas = Readonly<Record<string, JsonSchema>>;

const MOST_TEXT = 40;
const MOST_ITEMS = 4;

/** Values that fit a schema without references. */
export function arbitraryOf(schema: JsonSchema): fc.Arbitrary<unknown> {
  if (Array.isArray(schema.enum)) return fc.constantFrom(...(schema.enum as unknown[]));
  const types = (Array.isArray(schema.type) ? schema.type : [schema.type]) as unknown[];
  return fc.oneof(...types.map((type) => ofType(type, schema)));
}

function ofType(type: unknown, schema: JsonSchema): fc.Arbitrary<unknown> {
  const numberOf = (keyword: string, fallback: number): number => (schema[keyword] as number | undefined) ?? fallback;
  const isWithin = (value: number): boolean => value > numberOf('exclusiveMinimum', Number.NEGATIVE_INFINITY);
  switch (type) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.integer({ min: numberOf('minimum', 0), max: Math.min(numberOf('maximum', 1e6), 2 ** 31 - 1) });
    case 'number':
      return fc
        .double({
          min: numberOf('minimum', numberOf('exclusiveMinimum', 0)),
          max: numberOf('maximum', 1e6),
          noNaN: true,
        })
        .filter(isWithin);
    case 'string':
      if (typeof schema.pattern === 'string') return fc.stringMatching(new RegExp(schema.pattern), { size: 'small' });
      return fc.string({
        minLength: numberOf('minLength', 0),
        maxLength: Math.min(numberOf('maxLength', MOST_TEXT), 400),
      });
    case 'array': {
      const items = arbitraryOf(schema.items as JsonSchema);
      const bounds = {
        minLength: numberOf('minItems', 0),
        maxLength: Math.min(numberOf('maxItems', MOST_ITEMS), MOST_ITEMS),
      };
      return schema.uniqueItems === true ? fc.uniqueArray(items, bounds) : fc.array(items, bounds);
    }
    case 'object': {
      const properties = (schema.properties ?? {}) as Schemas;
      const fields = Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, arbitraryOf(value)]));
      return fc.record(fields, { requiredKeys: (schema.required ?? []) as string[] });
    }
    default:
      return fc.jsonValue();
  }
}

/** Where and why a value does not fit; `undefined` if it does. */
export function violation(value: unknown, schema: JsonSchema, schemas: Schemas, at = '$'): string | undefined {
  if (typeof schema.$ref === 'string')
    return violation(value, schemas[schema.$ref.split('/').at(-1) ?? ''], schemas, at);
  if (Array.isArray(schema.anyOf)) {
    const found = (schema.anyOf as JsonSchema[]).map((one) => violation(value, one, schemas, at));
    return found.includes(undefined) ? undefined : found.join(' and ');
  }
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) return `${at} is none of ${schema.enum.join(', ')}`;
  if (schema.type !== undefined && !isOfType(value, schema.type)) return `${at} is no ${JSON.stringify(schema.type)}`;
  if (typeof value === 'string' && typeof schema.pattern === 'string' && !new RegExp(schema.pattern).test(value))
    return `${at} does not match ${schema.pattern}`;
  if (Array.isArray(value))
    return firstOf(value.map((item, i) => violation(item, (schema.items ?? {}) as JsonSchema, schemas, `${at}[${i}]`)));
  if (typeof value === 'object' && value !== null) return violationOfObject(value, schema, schemas, at);
  return undefined;
}

function violationOfObject(value: object, schema: JsonSchema, schemas: Schemas, at: string): string | undefined {
  const properties = (schema.properties ?? {}) as Schemas;
  const missing = ((schema.required ?? []) as string[]).find((name) => !(name in value));
  if (missing !== undefined) return `${at}.${missing} is missing`;
  const others = typeof schema.additionalProperties === 'object' ? (schema.additionalProperties as JsonSchema) : {};
  return firstOf(
    Object.entries(value).map(([name, field]) => {
      if (!(name in properties) && schema.additionalProperties === false) return `${at}.${name} is not described`;
      return violation(field, properties[name] ?? others, schemas, `${at}.${name}`);
    }),
  );
}

function firstOf(found: readonly (string | undefined)[]): string | undefined {
  return found.find((one) => one !== undefined);
}

function isOfType(value: unknown, type: unknown): boolean {
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    case 'null':
      return value === null;
    default:
      return typeof value === type;
  }
}
