import { describe, expect, it } from 'vitest';
import type { CountView, ObjectStatus } from '$lib/api/shapes';
import { place, STRIP_MS, stripMarks, stripState, stripTicks } from './strip';

const now = Date.parse('2026-11-12T14:32:06Z');

function object(name: string, change: Partial<ObjectStatus>, count: Partial<CountView> = {}): ObjectStatus {
  return {
    object: name,
    table: '',
    health: 'countsAgree',
    readyAt: null,
    loadedAt: null,
    job: null,
    problem: null,
    ...change,
    count: {
      object: name,
      table: '',
      salesforce: null,
      salesforceAt: null,
      shadow: null,
      shadowAt: null,
      rejected: 0,
      unexplained: null,
      tookMs: 0,
      problem: null,
      ...count,
    },
  };
}

describe('the strip', () => {
  it('stands at the object whose load is the oldest', () => {
    const state = stripState(
      [
        object('Product2', { loadedAt: '2026-11-12T14:30:00Z' }),
        object('Account', { loadedAt: '2026-11-12T11:32:06Z' }),
      ],
      now,
    );
    expect(state).toMatchObject({ kind: 'loaded', object: 'Account', live: 0.5 });
  });

  it('promises nothing while one object was never loaded', () => {
    const loaded = object('Product2', { loadedAt: '2026-11-12T14:30:00Z' });
    expect(stripState([loaded, object('Account', { health: 'notLoaded' })], now)).toEqual({
      kind: 'empty',
      objects: ['Account'],
    });
    expect(stripState([loaded, object('Account', { health: 'backfilling' })], now).kind).toBe('loading');
    expect(stripState([], now).kind).toBe('empty');
  });

  it('keeps times outside of it at its ends', () => {
    expect(place(now - 2 * STRIP_MS, now)).toBe(0);
    expect(place(now + 5000, now)).toBe(1);
  });

  it('shows counts of one minute as one mark, and a difference never hides behind an agreement', () => {
    const at = '2026-11-12T14:05:00Z';
    const marks = stripMarks(
      [
        object('Product2', {}, { salesforceAt: at, unexplained: 0 }),
        object('PricebookEntry', {}, { salesforceAt: at, unexplained: 37 }),
        object('Account', {}, { salesforceAt: at, unexplained: 0 }),
      ],
      now,
    );
    expect(marks).toHaveLength(1);
    expect(marks[0]?.verdict).toBe('differs');
  });

  it('has a tick at each full hour', () => {
    expect(stripTicks(now)).toHaveLength(6);
  });
});
