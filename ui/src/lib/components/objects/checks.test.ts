import { describe, expect, it } from 'vitest';
import type { HealthCheck } from '$lib/api/shapes';
import { checkOf } from './checks';

const now = Date.parse('2026-11-12T14:32:06Z');
const check = (change: Partial<HealthCheck>): HealthCheck => ({
  name: 'heard',
  state: 'good',
  text: '4 s ago',
  bar: '≤ 330 s',
  at: '2026-11-12T14:32:02Z',
  ...change,
});

describe('a named check on screen', () => {
  it('is what the engine says', () => {
    const counted = check({ name: 'counted', state: 'bad', text: '37 unexplained', bar: 'none unexplained' });
    expect(checkOf(counted, now)).toEqual({
      name: 'Counted',
      tone: 'mend',
      finding: '37 unexplained',
      bar: 'none unexplained',
      at: '2026-11-12T14:32:02Z',
    });
    expect(checkOf(check({ name: 'verified', state: 'unknown', at: null }), now).tone).toBe('unknown');
    expect(checkOf(check({ name: 'stored', state: 'late', at: null }), now).tone).toBe('look');
  });

  it('grows old by itself where it says when a stream was heard', () => {
    expect(checkOf(check({}), now + 60_000)).toMatchObject({ tone: 'holds', finding: '1 min ago', at: null });
    expect(checkOf(check({}), now + 330_000)).toMatchObject({ tone: 'mend', finding: '5 min ago' });
  });

  it('keeps the words of a stream that does not speak for the object', () => {
    const other = check({ state: 'late', text: 'the stream does not speak for it; catch-ups do' });
    expect(checkOf(other, now + 60_000)).toMatchObject({ tone: 'look', finding: other.text });
  });
});
