import type { HoleView, ObjectStatus, StatusView } from '$lib/api/shapes';
import { lagNow, lagTone, type LagTone } from '$lib/components/objects/live';

/** Six hours are on the strip. */
export const STRIP_MS = 6 * 3_600_000;

export interface StripMark {
  /** Share of the width, 0 to 1. */
  at: number;
  verdict: 'unverified' | 'differs';
}

export type StripState =
  | { kind: 'empty'; objects: string[] }
  /** Nothing is promised before the load ends; the objects beside it go on, with this lag. */
  | { kind: 'loading'; objects: string[]; othersLagMs: number | null }
  /** There is no stream: as good as the last load. */
  | { kind: 'loaded'; through: number; live: number; object: string }
  | {
      kind: 'live';
      through: number;
      live: number;
      object: string;
      lagMs: number;
      tone: LagTone;
      isPaused: boolean;
    };

/** Where a time stands on a strip that ends now, 0 to 1. */
export function place(at: number, now: number, span = STRIP_MS): number {
  return Math.min(1, Math.max(0, 1 - (now - at) / span));
}

/** What the strip can say: the object that is the furthest back decides. */
export function stripState(status: Pick<StatusView, 'objects' | 'stream' | 'at'>, now: number): StripState {
  const { objects, stream } = status;
  const lags = objects.map((object) => lagNow(object, status.at, now));
  const loading = objects.filter((object) => object.health === 'backfilling' && !object.readyAt);
  if (loading.length > 0) {
    const others = lags.filter(
      (lag, index) => lag !== null && !loading.includes(objects[index] as ObjectStatus),
    );
    return {
      kind: 'loading',
      objects: loading.map((object) => object.object),
      othersLagMs: stream && others.length > 0 ? Math.max(...others.map((lag) => lag ?? 0)) : null,
    };
  }
  const missing = objects.filter((object) => !object.loadedAt && !object.liveThrough);
  if (objects.length === 0 || missing.length > 0) {
    return {
      kind: 'empty',
      objects: missing.length < objects.length ? missing.map((one) => one.object) : [],
    };
  }
  const lagMs = Math.max(...lags.map((lag) => lag ?? -1));
  if (!stream || lagMs < 0) return loadedState(objects, now);
  const worst = objects[lags.indexOf(lagMs)] as ObjectStatus;
  const through = worst.liveThrough ? Date.parse(worst.liveThrough) : now - lagMs;
  const isPaused = stream.state === 'paused';
  const live = lagTone(lagMs) === 'fresh' ? 1 : 1 - Math.min(1, lagMs / STRIP_MS);
  return { kind: 'live', through, live, object: worst.object, lagMs, tone: lagTone(lagMs), isPaused };
}

function loadedState(objects: ObjectStatus[], now: number): StripState {
  const loads = objects.map((object) => ({
    object: object.object,
    at: Date.parse(object.liveThrough ?? object.loadedAt ?? ''),
  }));
  const oldest = loads.reduce((least, load) => (load.at < least.at ? load : least));
  return { kind: 'loaded', through: oldest.at, live: place(oldest.at, now), object: oldest.object };
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

/** Holes that were closed, as spans of a bar of that many milliseconds: an outage that was bridged stays as history. */
export function bridged(holes: HoleView[], now: number, span = STRIP_MS): { from: number; to: number }[] {
  const spans = holes
    .filter((hole) => hole.closedAt && hole.from && hole.until && now - Date.parse(hole.until) < span)
    .map((hole) => ({
      from: place(Date.parse(hole.from ?? ''), now, span),
      to: place(Date.parse(hole.until ?? ''), now, span),
    }))
    .sort((a, b) => a.from - b.from);
  // The same outage opens a hole for each object.
  const merged: { from: number; to: number }[] = [];
  for (const next of spans) {
    const last = merged.at(-1);
    if (last && next.from <= last.to) last.to = Math.max(last.to, next.to);
    else merged.push({ ...next });
  }
  return merged;
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
