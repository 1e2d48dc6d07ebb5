import type { LagSeries } from '$lib/api/shapes';
import { toCsv } from '$lib/format/csv';
import { exactTime } from '$lib/format/time';

/** All failures of one point, whatever the stage. */
export function failuresAt(series: LagSeries, index: number): number {
  return series.failures.reduce((sum, failure) => sum + (failure.counts[index] ?? 0), 0);
}

/** The points as comma-separated values, oldest first. */
export function asCsv(series: LagSeries): string {
  const objects = series.objects.map((object) => `lag_ms_${object.object}`);
  return toCsv(
    ['at', ...objects, 'received', 'applied', 'waiting', 'failures'],
    series.times.map((time, index) => [
      exactTime(time),
      ...series.objects.map((object) => object.lagMs[index] ?? null),
      series.received[index] ?? null,
      series.applied[index] ?? null,
      series.backlog[index] ?? null,
      failuresAt(series, index),
    ]),
  );
}

/** The points, outages and marks as JSON. */
export function asJson(series: LagSeries): string {
  const points = series.times.map((time, index) => ({
    at: exactTime(time),
    lagMs: Object.fromEntries(series.objects.map((object) => [object.object, object.lagMs[index] ?? null])),
    received: series.received[index] ?? null,
    applied: series.applied[index] ?? null,
    waiting: series.backlog[index] ?? null,
    failures: Object.fromEntries(series.failures.map((one) => [one.stage, one.counts[index] ?? 0])),
  }));
  const { from, until, outages, marks } = series;
  return JSON.stringify({ from, until, outages, marks, points }, null, 2);
}
