import { describe, expect, it } from 'vitest';
import { readRedisUrl } from './redis-url.js';

describe('the address of a Redis', () => {
  it('is taken with TLS, for this machine without it, and for a closed network where the operator says so', () => {
    expect(readRedisUrl('rediss://u:p@cache.example:6380/2')).toBe('rediss://u:p@cache.example:6380/2');
    expect(readRedisUrl('redis://127.0.0.1:6379')).toBe('redis://127.0.0.1:6379');
    expect(readRedisUrl('redis://redis:6379?tls=off')).toBe('redis://redis:6379');
  });

  it.each([
    ['http://cache.example', 'must look like'],
    ['redis://u:geheim@cache.example', 'must begin with rediss://'],
    ['rediss://cache.example/a/b', 'by its number'],
    ['geheim', 'must look like'],
  ])('is refused with the reason and without its text: %s', (text, why) => {
    expect(() => readRedisUrl(text)).toThrow(expect.objectContaining({ summary: expect.stringContaining(why) }));
    expect(() => readRedisUrl(text)).not.toThrow(/geheim/);
  });
});
