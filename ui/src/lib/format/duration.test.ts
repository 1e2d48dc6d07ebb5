import { describe, expect, it } from 'vitest';
import { formatAge, formatDuration } from './duration';

describe('durations', () => {
  it.each([
    [0, '0 ms'],
    [38, '38 ms'],
    [1249, '1.2 s'],
    [9999, '9.9 s'],
    [41_000, '41 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [1_106_000, '18 min 26 s'],
    [7_440_000, '2 h 4 min'],
    [284_400_000, '3 d 7 h'],
  ])('%i ms reads %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it('are never negative, whatever two clocks say', () => {
    expect(formatDuration(-5)).toBe('0 ms');
    expect(formatAge(-5)).toBe('0 s');
  });

  it('as ages have one unit', () => {
    expect(formatAge(27 * 60_000 + 59_000)).toBe('27 min');
    expect(formatAge(26 * 3_600_000)).toBe('26 h');
    expect(formatAge(72 * 3_600_000)).toBe('3 d');
  });
});
