import { describe, expect, it } from 'vitest';
import type { Api } from '$lib/api/client';
import type { LagSeries } from '$lib/api/shapes';
import { LagCharts } from './lag.svelte';

const HOUR = 3_600_000;
const now = Date.parse('2026-11-12T14:00:00Z');

function charts() {
  const asked: [number, number][] = [];
  const api = {
    lag: async (from: string, until: string) => {
      asked.push([Date.parse(from), Date.parse(until)]);
      const times = [0, 1, 2, 3].map((n) => Date.parse(from) + n * 1000);
      return { from, until, stepMs: 1000, times } as LagSeries;
    },
  } as unknown as Api;
  return { view: new LagCharts(api, () => now), asked };
}

describe('the charts', () => {
  it('ask for the range up to now, for a zoomed piece, and for the whole again', async () => {
    const { view, asked } = charts();
    await view.series.load();
    view.zoomTo(now - 2 * HOUR, now - HOUR);
    await view.series.load();
    view.whole();
    await view.series.load();
    expect(asked[0]).toEqual([now - 6 * HOUR, now]);
    expect(asked).toContainEqual([now - 2 * HOUR, now - HOUR]);
    expect(asked.at(-1)).toEqual([now - 6 * HOUR, now]);
  });

  it('show the latest values until there is a crosshair, which keeps to its moment', async () => {
    const { view } = charts();
    await view.series.load();
    expect([view.at, view.shown]).toEqual([null, 3]);
    view.move(-1);
    expect(view.at).toBe(3);
    view.move(-1);
    expect(view.at).toBe(2);
    view.move(-9);
    expect([view.at, view.shown]).toEqual([0, 0]);
    view.choose('1h');
    expect(view.at).toBeNull();
  });
});
