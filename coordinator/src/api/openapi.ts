/** The OpenAPI document, made of the table of routes: what is written down is what the guard and the validators read. */

import { permissions, type ErrorCode } from '@fedlora/shared';
import { statusOf } from '../nest/problem.js';
import { schemaOfClass } from './class-schema.js';
import { isDriversOnly, routeTable, type Route, type RouteAccess } from './routes.js';
import { named, schemaOrReference, type JsonSchema } from './schema.js';
import { problem } from './view-schemas.js';

export interface OpenApi {
  readonly openapi: '3.1.0';
  readonly info: JsonSchema;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>>; readonly securitySchemes: JsonSchema };
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly description: string;
  readonly security: readonly JsonSchema[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: {
    readonly required: true;
    readonly content: Readonly<Record<string, { schema: JsonSchema }>>;
  };
  readonly responses: Readonly<Record<string, OperationAnswer>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: JsonSchema;
}

export interface OperationAnswer {
  readonly description: string;
  readonly content?: Readonly<Record<string, { readonly schema: JsonSchema }>>;
}

const PROBLEM = 'application/problem+json';
/** Of a route's path: `:name` is one part of the address, `*name` all that follow. */
const PARAMETER = /[:*](\w+)/g;

export function openApiDocument(programVersion: string): OpenApi {
  const paths: Record<string, Record<string, Operation>> = {};
  for (const [key, route] of Object.entries(routeTable)) {
    const [method, path] = key.split(' ');
    const address = path.replaceAll(PARAMETER, '{$1}');
    paths[address] = { ...paths[address], [method.toLowerCase()]: operationOf(key, route) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Fedlora coordinator',
      version: programVersion,
      description:
        'Lists come in pages: follow `nextCursor`. Refusals are problem details (RFC 9457) with a `code`, what happened and what to do. ' +
        'A change that comes with a cookie needs the header `x-csrf-token`.',
    },
    paths,
    components: {
      schemas: Object.fromEntries(named),
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'An API token, or a client’s session.' },
        cookie: { type: 'apiKey', in: 'cookie', name: 'fedlora', description: 'A sign-in; `__Host-fedlora` over TLS.' },
      },
    },
  };
}

function operationOf(key: string, route: Route): Operation {
  const [method, path] = key.split(' ');
  return {
    operationId: `${method.toLowerCase()}${path.replace('/api/v1', '').replaceAll(/[^a-z]+(\w)/gi, (_all, letter: string) => letter.toUpperCase())}`,
    summary: route.summary,
    tags: [tagOf(path)],
    description: whoMay(route.access),
    security: securityOf(route.access),
    parameters: parametersOf(path, route),
    ...bodyOf(route),
    responses: answersOf(method, route),
  };
}

function bodyOf({ body, takesForms }: Route): Pick<Operation, 'requestBody'> {
  if (body === undefined) return {};
  const schema = schemaOfClass(body);
  const types = ['application/json', ...(takesForms === true ? ['application/x-www-form-urlencoded'] : [])];
  return { requestBody: { required: true, content: Object.fromEntries(types.map((type) => [type, { schema }])) } };
}

function tagOf(path: string): string {
  if (path.startsWith('/api/v1/')) return path.split('/')[3];
  return path.split('/').length > 2 ? 'hub' : 'health';
}

function parametersOf(path: string, { query, isIdempotent, isConditional }: Route): Parameter[] {
  const inPath = [...path.matchAll(PARAMETER)].map(([, name]): Parameter => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const properties = query === undefined ? {} : (schemaOfClass(query).properties as Record<string, JsonSchema>);
  const inQuery = Object.entries(properties).map(([name, schema]): Parameter => ({
    name,
    in: 'query',
    required: false,
    schema,
  }));
  const headers: Parameter[] = [];
  if (isIdempotent === true)
    headers.push({
      name: 'Idempotency-Key',
      in: 'header',
      required: false,
      description: 'The same request with the same key, within a day, gets the first answer again.',
      schema: { type: 'string', pattern: '^[!-~]{16,200}$' },
    });
  if (isConditional === true)
    headers.push({
      name: 'If-Match',
      in: 'header',
      required: false,
      description: 'The ETag of what was looked at.',
      schema: { type: 'string' },
    });
  return [...inPath, ...inQuery, ...headers];
}

/** The statuses that a route may answer with, each with the codes of its problems. */
function answersOf(method: string, route: Route): Record<string, OperationAnswer> {
  const { answer } = route;
  const answers: Record<string, OperationAnswer> = {};
  const schema = answer.schema === undefined ? {} : schemaOrReference(answer.schema);
  const hasContent = answer.status !== 204 && method !== 'HEAD';
  answers[answer.status] = {
    description: 'Done.',
    ...(hasContent ? { content: { [answer.contentType ?? 'application/json']: { schema } } } : {}),
  };
  if (route.hasRanges === true) {
    answers[206] = {
      description: 'The part that was asked for.',
      ...(hasContent ? { content: answers[answer.status].content } : {}),
    };
    answers[416] = { description: 'The range is beyond the end.' };
  }
  if (method === 'GET') answers[304] = { description: 'Nothing changed since the ETag of If-None-Match.' };
  for (const code of errorsOf(method, route)) {
    const status = statusOf(code);
    const description = [answers[status]?.description, code].filter((part) => part !== undefined).join(', ');
    answers[status] = {
      description,
      ...(method === 'HEAD' ? {} : { content: { [PROBLEM]: { schema: schemaOrReference(problem) } } }),
    };
  }
  return answers;
}

/** Every code that a route may refuse with. */
function errorsOf(method: string, route: Route): readonly ErrorCode[] {
  const { access, body, query, errors = [], isIdempotent, isConditional } = route;
  const all = new Set<ErrorCode>(['request/too-many', 'request/invalid', 'database/unreachable']);
  const add = (isPossible: boolean, ...codes: readonly ErrorCode[]): void => {
    if (isPossible) for (const code of codes) all.add(code);
  };
  add(access.kind === 'open' && access.isCostly === true, 'coordinator/busy');
  add(isDriversOnly(method, route), 'coordinator/standing-by');
  add(access.kind !== 'open', 'session/required', 'session/not-allowed');
  add(access.kind === 'permitted', 'access/wrong-scope');
  add(access.kind !== 'open', 'access/cross-site');
  add(body !== undefined || query !== undefined, 'request/invalid');
  // A body is read before anybody asks whether the route takes one.
  add(true, 'request/too-large', 'request/unsupported-type');
  add(isIdempotent === true, 'request/key-reused', 'request/in-progress', 'request/outcome-unknown');
  add(isConditional === true, 'request/changed');
  for (const code of errors) all.add(code);
  return [...all].sort();
}

function whoMay(access: RouteAccess): string {
  switch (access.kind) {
    case 'open':
      return 'Open to anybody.';
    case 'client':
      return 'For clients of organisations.';
    case 'operator':
      return 'For users and API tokens.';
    case 'user':
      return 'For users who are signed in.';
    case 'permitted': {
      const needed = permissions.filter((permission) => access.permissions.includes(permission)).join(', ');
      const scope =
        access.scope === 'federation'
          ? ' Not for whoever is limited to certain runs.'
          : ' Whoever is limited to certain runs gets those only.';
      return `Needs ${needed}${access.client ? ', or a client’s session' : ''}.${scope}`;
    }
    default:
      return access satisfies never;
  }
}

function securityOf(access: RouteAccess): readonly JsonSchema[] {
  if (access.kind === 'open') return [];
  if (access.kind === 'client') return [{ token: [] }];
  return access.kind === 'user' ? [{ cookie: [] }] : [{ token: [] }, { cookie: [] }];
}
