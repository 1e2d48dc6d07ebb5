import type { ObjectStatus } from '$lib/api/shapes';

/** Six hours are on the strip. */
export const STRIP_MS = 6 * 3_600_000;

export interface StripMark {
  /** Share of the width, 0 to 1. */
  at: number;
  verdict: 'unverified' | 'differs';
}

export type StripState =
  | { kind: 'empty'; objects: string[] }
  | { kind: 'loading'; objects: string[] }
  | { kind: 'loaded'; through: number; live: number; object: string };

/** Where a time stands on a strip that ends now, 0 to 1. */
export function place(at: number, now: number): number {
  return Math.min(1, Math.max(0, 1 - (now - at) / STRIP_MS));
}

/** What the strip can say: the object whose last complete load is the oldest decides. */
export function stripState(objects: ObjectStatus[], now: number): StripState {
  const loading = objects.filter((object) => object.health === 'backfilling').map((object) => object.object);
  const loads = objects.map((object) => ({
    object: object.object,
    at: object.loadedAt ? Date.parse(object.loadedAt) : undefined,
  }));
  if (loads.length === 0 || loads.some((load) => load.at === undefined)) {
    if (loading.length > 0) return { kind: 'loading', objects: loading };
    const missing = loads.filter((load) => load.at === undefined).map((load) => load.object);
    return { kind: 'empty', objects: missing.length < loads.length ? missing : [] };
  }
  const oldest = loads.reduce((least, load) => ((load.at ?? 0) < (least.at ?? 0) ? load : least));
  const through = oldest.at ?? now;
  return { kind: 'loaded', through, live: place(through, now), object: oldest.object };
}

/** Counts taken within the strip, one mark per moment; a disagreement beats an agreement. */
export function stripMarks(objects: ObjectStatus[], now: number): StripMark[] {
  const marks = new Map<number, StripMark>();
  for (const { count } of objects) {
    if (!count.salesforceAt || count.unexplained === null) continue;
    const at = Date.parse(count.salesforceAt);
    if (now - at > STRIP_MS) continue;
    const minute = Math.round(at / 60_000);
    const verdict = count.unexplained === 0 ? 'unverified' : 'differs';
    if (marks.get(minute)?.verdict !== 'differs') marks.set(minute, { at: place(at, now), verdict });
  }
  return [...marks.values()];
}

/** The full hours on the strip. */
export function stripTicks(now: number): { at: number; time: number }[] {
  const first = new Date(now - STRIP_MS);
  first.setMinutes(60, 0, 0);
  const ticks = [];
  for (let time = first.getTime(); time < now; time += 3_600_000) {
    const at = place(time, now);
    if (at > 0.03 && at < 0.97) ticks.push({ at, time });
  }
  return ticks;
}
