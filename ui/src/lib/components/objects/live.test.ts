import { describe, expect, it } from 'vitest';
import type { ObjectStatus } from '$lib/api/shapes';
import { healthOf, isFailing, lagNow, lagTone, lagWords } from './live';

const object = (change: Partial<ObjectStatus>) =>
  ({ object: 'Product2', health: 'countsAgree', backlogEvents: 0, ...change }) as ObjectStatus;

describe('the lag of an object', () => {
  it('goes on while nobody says anything: a dead stream falls behind on screen too', () => {
    const asked = '2026-11-12T14:32:00.000Z';
    expect(lagNow({ lagMs: 1_200 }, asked, Date.parse(asked) + 60_000)).toBe(61_200);
    expect(lagNow({ lagMs: null }, asked, Date.parse(asked))).toBeNull();
  });

  it('never runs backwards where the clocks of engine and window differ', () => {
    expect(lagNow({ lagMs: 500 }, '2026-11-12T14:32:05.000Z', Date.parse('2026-11-12T14:32:00Z'))).toBe(500);
  });

  it('of a quiet org is no lateness up to five and a half minutes', () => {
    expect(lagTone(9_999)).toBe('fresh');
    expect(lagTone(330_000)).toBe('quiet');
    expect(lagTone(330_001)).toBe('late');
    expect(lagTone(900_001)).toBe('failing');
  });

  it('is said as an age while quiet, and as behind otherwise', () => {
    expect(lagWords(1_200)).toEqual({ before: '', value: '1.2 s', after: 'behind' });
    expect(lagWords(130_000)).toEqual({ before: 'up to date as of', value: '2 min', after: 'ago' });
    expect(lagWords(1_106_000)).toEqual({ before: '', value: '18 min 26 s', after: 'behind' });
  });
});

describe('the health of an object', () => {
  it('is what the engine says', () => {
    for (const health of [
      'differs',
      'failing',
      'paused',
      'backfilling',
      'catchingUp',
      'countsAgree',
    ] as const) {
      expect(healthOf(object({ health }), 2_000_000)).toBe(health);
    }
    expect(healthOf(object({ health: 'live' }), 1_200)).toBe('live');
  });

  it('falls behind by itself when the engine says nothing more', () => {
    const live = object({ health: 'live' });
    expect(healthOf(live, 400_000)).toBe('late');
    expect(healthOf(live, 1_000_000)).toBe('farBehind');
    expect(isFailing('farBehind')).toBe(true);
  });

  it('never gets better by itself', () => {
    expect(healthOf(object({ health: 'late' }), 1_200)).toBe('late');
    expect(healthOf(object({ health: 'live' }), null)).toBe('live');
  });
});
