import { describe, expect, it } from 'vitest';
import type { CountView, HoleView, ObjectStatus, StreamView } from '$lib/api/shapes';
import { bridged, place, STRIP_MS, stripMarks, stripState, stripTicks } from './strip';

const now = Date.parse('2026-11-12T14:32:06Z');
const at = new Date(now).toISOString();
const stream = { state: 'live' } as StreamView;

function object(name: string, change: Partial<ObjectStatus>, count: Partial<CountView> = {}): ObjectStatus {
  return {
    object: name,
    health: 'countsAgree',
    readyAt: null,
    loadedAt: null,
    liveThrough: null,
    lagMs: null,
    ...change,
    count: { object: name, salesforceAt: null, unexplained: null, ...count },
  } as ObjectStatus;
}
const loaded = { readyAt: at, loadedAt: '2026-11-12T14:30:00Z' };
const live = (name: string, lagMs: number) =>
  object(name, { ...loaded, lagMs, liveThrough: new Date(now - lagMs).toISOString() });

describe('the strip without a stream', () => {
  const of = (objects: ObjectStatus[]) => stripState({ objects, stream: null, at }, now);

  it('stands at the object whose load is the oldest', () => {
    const objects = [
      object('Product2', { loadedAt: '2026-11-12T14:30:00Z' }),
      object('Account', { loadedAt: '2026-11-12T11:32:06Z' }),
    ];
    expect(of(objects)).toMatchObject({ kind: 'loaded', object: 'Account', live: 0.5 });
  });

  it('promises nothing while one object was never loaded', () => {
    const first = object('Product2', loaded);
    expect(of([first, object('Account', { health: 'notLoaded' })])).toEqual({
      kind: 'empty',
      objects: ['Account'],
    });
    expect(of([first, object('Account', { health: 'backfilling' })]).kind).toBe('loading');
    expect(of([]).kind).toBe('empty');
  });
});

describe('the strip of a live environment', () => {
  const of = (objects: ObjectStatus[], change: Partial<StreamView> = {}, later = 0) =>
    stripState({ objects, stream: { ...stream, ...change }, at }, now + later);

  it('stands at the object that trails most', () => {
    expect(of([live('Product2', 1_200), live('PricebookEntry', 1_106_000)])).toMatchObject({
      kind: 'live',
      object: 'PricebookEntry',
      lagMs: 1_106_000,
      tone: 'failing',
    });
  });

  it('reaches now while its lag is seconds, and falls behind by itself when nobody says anything', () => {
    expect(of([live('Product2', 1_200)])).toMatchObject({ live: 1, tone: 'fresh' });
    expect(of([live('Product2', 1_200)], {}, STRIP_MS / 2)).toMatchObject({ tone: 'failing' });
  });

  it('is not late in a quiet org', () => {
    expect(of([live('Product2', 300_000)])).toMatchObject({ tone: 'quiet' });
  });

  it('knows a pause from a failure', () => {
    expect(of([live('Product2', 1_106_000)], { state: 'paused' })).toMatchObject({ isPaused: true });
  });

  it('says how the others are while one is loaded for the first time', () => {
    const first = object('PricebookEntry', { health: 'backfilling' });
    expect(of([first, live('Account', 1_200)])).toEqual({
      kind: 'loading',
      objects: ['PricebookEntry'],
      othersLagMs: 1_200,
    });
  });

  it('stays live while an object is loaded again', () => {
    expect(of([{ ...live('Account', 1_200), health: 'backfilling' }]).kind).toBe('live');
  });
});

describe('what is on the strip', () => {
  it('keeps times outside of it at its ends', () => {
    expect(place(now - 2 * STRIP_MS, now)).toBe(0);
    expect(place(now + 5000, now)).toBe(1);
  });

  it('shows counts of one minute as one mark, and a difference never hides behind an agreement', () => {
    const counted = '2026-11-12T14:05:00Z';
    const marks = stripMarks(
      [
        object('Product2', {}, { salesforceAt: counted, unexplained: 0 }),
        object('PricebookEntry', {}, { salesforceAt: counted, unexplained: 37 }),
        object('Account', {}, { salesforceAt: counted, unexplained: 0 }),
      ],
      now,
    );
    expect(marks).toHaveLength(1);
    expect(marks[0]?.verdict).toBe('differs');
  });

  it('hatches a bridged outage once, though it opened a hole for each object', () => {
    const hole = (from: number, until: number, closedAt: string | null) =>
      ({
        from: new Date(now - from).toISOString(),
        until: new Date(now - until).toISOString(),
        closedAt,
      }) as HoleView;
    const hour = 3_600_000;
    const spans = bridged(
      [hole(3 * hour, 2 * hour, at), hole(3 * hour, 1.5 * hour, at), hole(hour, 0, null)],
      now,
    );
    expect(spans).toEqual([{ from: 0.5, to: 0.75 }]);
  });

  it('has a tick at each full hour', () => {
    expect(stripTicks(now)).toHaveLength(6);
  });
});
