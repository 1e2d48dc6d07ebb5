import { describe, expect, it } from 'vitest';
import { exactTime, formatAgo, formatClock, formatWhen } from './time';

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

  it('are exact to the millisecond when copied', () => {
    expect(exactTime('2026-11-12T15:05:00+01:00')).toBe('2026-11-12T14:05:00.000Z');
  });
});
