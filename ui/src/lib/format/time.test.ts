import { describe, expect, it } from 'vitest';
import {
  exactTime,
  formatAgo,
  formatClock,
  formatExact,
  formatIn,
  formatWhen,
  fromLocalInput,
  toLocalInput,
} from './time';

const at = (text: string) => new Date(text).getTime();

describe('times', () => {
  it('of today are a clock, of this week carry the weekday, older ones the date', () => {
    const now = at('2026-11-12T15:00:00');
    expect(formatWhen('2026-11-12T14:31:28', now)).toBe('14:31:28');
    expect(formatWhen('2026-11-11T17:02:44', now)).toBe('Wed 17:02:44');
    expect(formatWhen('2026-10-02T09:30:00', now)).toMatch(/Oct.*09:30/);
  });

  it('use the 24 hour clock', () => {
    expect(formatClock('2026-11-12T00:05:00')).toBe('00:05');
  });

  it('under a second ago are just now', () => {
    const now = at('2026-11-12T15:00:00Z');
    expect(formatAgo(now - 400, now)).toBe('just now');
    expect(formatAgo(now - 27 * 60_000, now)).toBe('27 min ago');
  });

  it('of events are to the millisecond, with their day when it is not today', () => {
    const now = at('2026-11-12T15:00:00');
    expect(formatExact('2026-11-12T14:32:05.812', now)).toBe('14:32:05.812');
    expect(formatExact('2026-11-11T14:32:05.007', now)).toMatch(/Nov.*14:32:05\.007/);
  });

  it('to come are said as how long until then', () => {
    const now = at('2026-11-12T15:00:00');
    expect(formatIn('2026-11-12T15:02:30', now)).toBe('in 2 min');
    expect(formatIn('2026-11-13T02:30:00', now)).toBe('tomorrow');
    expect(formatIn('2026-11-15T03:00:00', now)).toBe('in 2 d');
    expect(formatIn('2026-11-12T14:59:59', now)).toBe('now');
  });

  it('go through a field for date and time unchanged, to the second', () => {
    const then = at('2026-11-12T14:32:05');
    expect(fromLocalInput(toLocalInput(then))).toBe(then);
    expect(fromLocalInput('')).toBeUndefined();
  });

  it('are exact to the millisecond when copied', () => {
    expect(exactTime('2026-11-12T15:05:00+01:00')).toBe('2026-11-12T14:05:00.000Z');
  });
});
