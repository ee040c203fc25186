/** Request bodies and queries as JSON Schema, made from the validators of their classes: what is documented is what is checked. */

import { createRequire } from 'node:module';
import { getMetadataStorage } from 'class-validator';
import type { JsonSchema } from './schema.js';

type Class = new () => object;

interface Check {
  readonly propertyName: string;
  readonly type: string;
  readonly name?: string;
  readonly constraints?: readonly unknown[];
  readonly each: boolean;
}

/** Where class-transformer keeps what `@Type` says; it has no public way to read it. */
const { defaultMetadataStorage: types } = createRequire(import.meta.url)('class-transformer/cjs/storage.js') as {
  defaultMetadataStorage: {
    findTypeMetadata(target: Class, property: string): { readonly typeFunction: () => Class } | undefined;
  };
};

/** @throws Error: a validator that has no translation here; add it rather than leave the document incomplete */
export function schemaOfClass(type: Class): JsonSchema {
  const checks = getMetadataStorage().getTargetValidationMetadatas(
    type,
    '',
    true,
    false,
  ) as unknown as readonly Check[];
  const properties: Record<string, JsonSchema> = {};
  const required: string[] = [];
  for (const property of [...new Set(checks.map(({ propertyName }) => propertyName))].sort()) {
    const own = checks.filter(({ propertyName }) => propertyName === property);
    const isOptional = own.some(({ type: kind }) => kind === 'conditionalValidation');
    const schema = schemaOfProperty(type, property, own);
    properties[property] = isOptional ? orNull(schema) : schema;
    if (!isOptional) required.push(property);
  }
  return { type: 'object', additionalProperties: false, required, properties };
}

function schemaOfProperty(type: Class, property: string, checks: readonly Check[]): JsonSchema {
  const own: Record<string, unknown> = {};
  const items: Record<string, unknown> = {};
  for (const check of checks) {
    if (check.type === 'conditionalValidation') continue;
    if (check.type === 'nestedValidation') {
      const nested = types.findTypeMetadata(type, property)?.typeFunction();
      if (nested === undefined) throw new Error(`${type.name}.${property} is nested and has no @Type.`);
      const isList = checks.some(({ name }) => name === 'isArray');
      Object.assign(isList ? items : own, schemaOfClass(nested));
    } else Object.assign(check.each ? items : own, keywordsOf(type, check));
  }
  return Object.keys(items).length === 0 ? own : { ...own, type: 'array', items };
}

function keywordsOf(type: Class, { propertyName, name, constraints = [] }: Check): JsonSchema {
  const [first, second] = constraints;
  switch (name) {
    case 'isString':
      return { type: 'string' };
    case 'isInt':
      return { type: 'integer' };
    case 'isNumber':
      return { type: 'number' };
    case 'isBoolean':
      return { type: 'boolean' };
    case 'isArray':
      return { type: 'array' };
    case 'isObject':
      return { type: 'object' };
    case 'isPositive':
      return { exclusiveMinimum: 0 };
    case 'notEquals':
      return { not: { const: first } };
    case 'min':
      return { minimum: first };
    case 'max':
      return { maximum: first };
    case 'isLength':
      return { type: 'string', minLength: first, maxLength: second };
    case 'maxLength':
      return { type: 'string', maxLength: first };
    case 'matches':
      return { type: 'string', pattern: (first as RegExp).source };
    case 'isIn':
      return { enum: first };
    case 'arrayMinSize':
      return { minItems: first };
    case 'arrayMaxSize':
      return { maxItems: first };
    case 'arrayUnique':
      return { uniqueItems: true };
    default:
      throw new Error(`${type.name}.${propertyName}: the validator ${name} has no JSON Schema here.`);
  }
}

/** `IsOptional` takes null for absent. */
function orNull(schema: JsonSchema): JsonSchema {
  if (Array.isArray(schema.enum)) return { ...schema, enum: [...(schema.enum as unknown[]), null] };
  return typeof schema.type === 'string' ? { ...schema, type: [schema.type, 'null'] } : schema;
}
