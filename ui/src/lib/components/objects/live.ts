import type { ObjectHealth, ObjectStatus } from '$lib/api/shapes';
import { formatAge, formatDuration } from '$lib/format/duration';

/** A quiet org is heard every 270 s at the latest: up to here an object is up to date, not behind. */
export const LATE_MS = 330_000;
/** From here on lag is red. */
export const NOTIFY_MS = 900_000;

export type LagTone = 'fresh' | 'quiet' | 'late' | 'failing';

/** The lag of an object now: as it was when the status was put together (`askedAt`), and what went by since. */
export function lagNow(object: { lagMs: number | null }, askedAt: string, now: number): number | null {
  if (object.lagMs === null) return null;
  return object.lagMs + Math.max(0, now - Date.parse(askedAt));
}

/** What a lag means: seconds are fresh, minutes between keep-alives are quiet, more is late, much more fails. */
export function lagTone(lagMs: number): LagTone {
  if (lagMs < 10_000) return 'fresh';
  if (lagMs <= LATE_MS) return 'quiet';
  return lagMs <= NOTIFY_MS ? 'late' : 'failing';
}

/** A lag in words: `1.2 s behind`, `up to date as of 2 min ago`, `7 min behind`. */
export function lagWords(lagMs: number): { before: string; value: string; after: string } {
  if (lagTone(lagMs) === 'quiet')
    return { before: 'up to date as of', value: formatAge(lagMs), after: 'ago' };
  return { before: '', value: formatDuration(lagMs), after: 'behind' };
}

/**
 * How an object is now: what the engine says, and what goes by since it said so. A stream that died with its process
 * says nothing more, and must fall behind all the same.
 */
export function healthOf(object: ObjectStatus, lagMs: number | null): ObjectHealth {
  const isByLag = object.health === 'live' || object.health === 'late' || object.health === 'farBehind';
  if (!isByLag || lagMs === null) return object.health;
  const tone = lagTone(lagMs);
  if (tone === 'failing') return 'farBehind';
  return tone === 'late' ? 'late' : object.health;
}

export const healthWords: Record<ObjectHealth, string> = {
  notLoaded: 'Not loaded',
  backfilling: 'Backfilling',
  loaded: 'Loaded, not counted',
  countsAgree: 'Counts agree',
  live: 'Live',
  catchingUp: 'Catching up',
  late: 'Behind',
  farBehind: 'Far behind',
  differs: 'Differs',
  paused: 'Paused',
  interrupted: 'Interrupted',
  failing: 'Failing',
};

/** Whether an object must be looked at now: it stands at the top, in red. */
export function isFailing(health: ObjectHealth): boolean {
  return health === 'failing' || health === 'farBehind';
}
