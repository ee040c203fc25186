import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RoundNews } from './round-news.js';

let told: string[] = [];
let news: RoundNews;

beforeEach(() => {
  vi.useFakeTimers();
  told = [];
  news = new RoundNews((roundId) => told.push(roundId));
});

afterEach(() => {
  news.close();
  vi.useRealTimers();
});

describe('news of a round', () => {
  it('come at once when it was quiet, and then at most four times a second', () => {
    for (let i = 0; i < 999; i += 1) {
      news.stirred('r');
      vi.advanceTimersByTime(1);
    }
    expect(told).toHaveLength(4);
  });

  it('always tell the last change', () => {
    news.stirred('r');
    vi.advanceTimersByTime(1);
    news.stirred('r');
    expect(told).toEqual(['r']);
    vi.advanceTimersByTime(249);
    expect(told).toEqual(['r', 'r']);
    vi.advanceTimersByTime(1000);
    expect(told).toHaveLength(2);
  });

  it('tell a new phase at once', () => {
    news.stirred('r');
    news.stirred('r');
    news.turned('r');
    expect(told).toEqual(['r', 'r']);
    // It told what stirred before, too.
    vi.advanceTimersByTime(1000);
    expect(told).toHaveLength(2);
  });

  it('of one round do not keep those of another waiting', () => {
    news.stirred('r');
    news.stirred('s');
    expect(told).toEqual(['r', 's']);
  });

  it('do not outlive the round', () => {
    news.stirred('r');
    news.stirred('r');
    news.forget('r');
    vi.advanceTimersByTime(1000);
    expect(told).toEqual(['r']);
  });
});
