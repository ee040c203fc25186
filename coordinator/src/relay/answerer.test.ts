import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from 'vitest';
import { isDriversOnly, routeTable } from '../api/routes.js';
import { answererOf, type Answerer } from './answerer.js';

const apiToken = { authorization: 'Bearer fedlora_0123456789abcdef' };
const session = { authorization: 'Bearer 0123456789abcdef0123456789' };

/** Each part of a path that has a name, as some text. */
function pathOf(pattern: string): string {
  return pattern.replace(/[:*]\w+/g, 'some');
}

describe('answererOf', () => {
  it('leaves to the driver whatever only it can do, of all routes', () => {
    for (const [key, route] of Object.entries(routeTable)) {
      const [method, pattern] = key.split(' ');
      const headers = route.access.kind === 'client' ? session : apiToken;
      if (isDriversOnly(method, route)) expect(answererOf(method, pathOf(pattern), headers), key).toBe('driver');
    }
  });

  it.each<[Answerer, string, string, IncomingHttpHeaders]>([
    ['any', 'GET', '/healthz', {}],
    ['any', 'GET', '/readyz', {}],
    ['any', 'GET', '/metrics', {}],
    ['any', 'GET', '/', {}],
    ['any', 'GET', '/runs/some', {}],
    ['any', 'GET', '/docs/operator', {}],
    ['any', 'GET', '/api/v1/versions/some/files/adapter_model.safetensors', apiToken],
    [
      'any',
      'HEAD',
      '/owner/name/resolve/main/adapter_model.safetensors',
      { authorization: 'Bearer hf_fedlora_0123456789' },
    ],
    ['driver', 'GET', '/api/v1/versions/some/files/adapter_model.safetensors', session],
    ['driver', 'GET', '/api/v1/versions/some', { authorization: 'Basic eDp5' }],
    ['rather-driver', 'GET', '/api/v1/overview', { cookie: 'a=b' }],
    ['rather-driver', 'GET', '/api/v1/runs', apiToken],
    ['rather-driver', 'GET', '/api/models/owner/name/revision/main', apiToken],
    ['driver', 'POST', '/api/models/owner/name/paths-info/main', apiToken],
    ['driver', 'DELETE', '/anything', {}],
  ])('has %s answer %s %s', (answerer, method, path, headers) => {
    expect(answererOf(method, path, headers)).toBe(answerer);
  });
});
