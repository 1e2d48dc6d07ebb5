import { describe, expect, it } from 'vitest';
import type { LagSeries } from '$lib/api/shapes';
import { lagTicks, lagTop, roundTop, timeTicks } from './axis';
import { refreshMs, stepRange } from './ranges';
import { outageSpan, summarise } from './summary';
import { asCsv, asJson } from './table';

const MINUTE = 60_000;
const from = Date.parse('2026-11-12T12:00:00Z');
const at = (minutes: number) => new Date(from + minutes * MINUTE).toISOString();

function series(change: Partial<LagSeries> = {}): LagSeries {
  return {
    from: at(0),
    until: at(4),
    stepMs: MINUTE,
    times: [0, 1, 2, 3].map((minute) => from + minute * MINUTE),
    objects: [
      { object: 'Product2', lagMs: [1_000, 2_000, 60_000, null] },
      { object: 'Account', lagMs: [900, 3_000, 61_000, 1_200] },
    ],
    received: [10, 20, 0, 5],
    applied: [10, 20, 0, 4],
    backlog: [0, 0, 0, 1],
    failures: [{ stage: 'connect', counts: [0, 0, 2, 0] }],
    outages: [{ from: at(2), until: at(3), title: 'Stream down', detail: '' }],
    marks: [],
    ...change,
  };
}

describe('the summary of a span', () => {
  it('takes the object that trails most at each point, and leaves outages out of what was live', () => {
    expect(summarise(series())).toMatchObject({
      worstMs: 61_000,
      worstAt: from + 2 * MINUTE,
      p99LiveMs: 3_000,
      notLiveMs: MINUTE,
      received: 35,
      applied: 34,
    });
  });

  it('counts two outages at once as one, and one that lasts up to the end', () => {
    const outages = [
      { from: at(2), until: at(3), title: '', detail: '' },
      { from: at(2.5), until: null, title: '', detail: '' },
    ];
    expect(summarise(series({ outages })).notLiveMs).toBe(2 * MINUTE);
    expect(outageSpan({ from: at(-9), until: at(-8), title: '', detail: '' }, from, from + MINUTE)).toBe(
      undefined,
    );
  });

  it('says nothing where there are no samples', () => {
    expect(summarise(series({ times: [], objects: [], received: [], applied: [] }))).toMatchObject({
      medianMs: null,
      worstMs: null,
      worstAt: null,
    });
  });
});

describe('the axes', () => {
  it('reach a round duration above the worst, and always show where late begins', () => {
    expect(lagTop(1_200)).toBe(10 * MINUTE);
    expect(lagTop(24 * MINUTE)).toBe(60 * MINUTE);
    expect(lagTicks(10 * MINUTE)).toEqual([1_000, 10_000, MINUTE, 10 * MINUTE]);
    expect(roundTop(1_050)).toBe(2_000);
  });

  it('have a few ticks, whatever the span', () => {
    for (const span of [
      MINUTE,
      60 * MINUTE,
      360 * MINUTE,
      1_440 * MINUTE,
      7 * 1_440 * MINUTE,
      30 * 1_440 * MINUTE,
    ]) {
      const ticks = timeTicks(from + 7, from + 7 + span);
      expect(ticks.length).toBeGreaterThanOrEqual(3);
      expect(ticks.length).toBeLessThanOrEqual(9);
    }
  });
});

describe('ranges', () => {
  it('step to their neighbours and stop at the ends', () => {
    expect(stepRange('6h', 1)).toBe('24h');
    expect(stepRange('1min', -1)).toBe('1min');
    expect(stepRange('30d', 1)).toBe('30d');
  });

  it('are asked again once per point', () => {
    expect(refreshMs(MINUTE)).toBe(2_000);
    expect(refreshMs(30 * 1_440 * MINUTE)).toBe(MINUTE);
  });
});

describe('the same data as text', () => {
  it('has one row per point, empty where there was no sample', () => {
    const rows = asCsv(series()).split('\n');
    expect(rows[0]).toBe('at,lag_ms_Product2,lag_ms_Account,received,applied,waiting,failures');
    expect(rows[3]).toBe('2026-11-12T12:02:00.000Z,60000,61000,0,0,0,2');
    expect(rows[4]).toBe('2026-11-12T12:03:00.000Z,,1200,5,4,1,0');
  });

  it('is JSON with the outages and marks', () => {
    expect(JSON.parse(asJson(series()))).toMatchObject({
      outages: [{ title: 'Stream down' }],
      points: { length: 4 },
    });
  });
});
