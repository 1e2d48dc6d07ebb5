import { describe, expect, it } from 'vitest';
import type { ObjectStatus, StreamView } from '$lib/api/shapes';
import { healthOf, lagNow, lagTone, lagWords } from './live';

const stream = { channel: '/data/ChangeEvents', state: 'live' } as StreamView;
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
  it('is live while its lag is, behind when it is late, failing when it is very late', () => {
    expect(healthOf(object({}), stream, 1_200)).toBe('live');
    expect(healthOf(object({}), stream, 400_000)).toBe('behind');
    expect(healthOf(object({}), stream, 1_000_000)).toBe('failing');
  });

  it('is catching up while a live stream has events to apply', () => {
    expect(healthOf(object({ backlogEvents: 12 }), stream, 400_000)).toBe('catchingUp');
    expect(healthOf(object({ backlogEvents: 12 }), { ...stream, state: 'failed' }, 400_000)).toBe('behind');
  });

  it('is never live without a stream, nor over a difference, a failure or a pause', () => {
    expect(healthOf(object({}), null, 1_200)).toBe('countsAgree');
    for (const health of ['differs', 'failing', 'paused', 'backfilling', 'notLoaded'] as const) {
      expect(healthOf(object({ health }), stream, 1_200)).toBe(health);
    }
  });
});
