import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { gather } from './gather';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('gathering', () => {
  it('hands over the first at once and the rest together', () => {
    const heard: string[][] = [];
    const say = gather<string>(250, (items) => heard.push([...items]));
    say(['status']);
    expect(heard).toEqual([['status']]);
    for (let n = 0; n < 100; n += 1) say(['status', 'events']);
    expect(heard).toHaveLength(1);
    vi.advanceTimersByTime(250);
    expect(heard).toEqual([['status'], ['status', 'events']]);
  });

  it('never drops the last, and is quiet afterwards', () => {
    const heard: string[][] = [];
    const say = gather<string>(250, (items) => heard.push([...items]));
    say(['status']);
    vi.advanceTimersByTime(249);
    say(['events']);
    vi.advanceTimersByTime(1);
    expect(heard.at(-1)).toEqual(['events']);
    vi.advanceTimersByTime(10_000);
    expect(heard).toHaveLength(2);
    say([]);
    expect(heard).toHaveLength(2);
  });
});
