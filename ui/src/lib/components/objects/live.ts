import type { ObjectStatus, StreamView } from '$lib/api/shapes';
import { formatAge, formatDuration } from '$lib/format/duration';

/** A quiet org is heard every 270 s at the latest: up to here an object is up to date, not behind. */
export const LATE_MS = 330_000;
/** From here on lag is red. */
export const NOTIFY_MS = 900_000;

/** How an object is on screen: what the engine says, and what its lag makes of that while time goes on. */
export type Health =
  | 'notLoaded'
  | 'backfilling'
  | 'loaded'
  | 'countsAgree'
  | 'live'
  | 'catchingUp'
  | 'behind'
  | 'differs'
  | 'paused'
  | 'failing';

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
 * How an object is now. What a person must see goes before lag; an object that was loaded but has no stream says what
 * its counts say, as it always did.
 */
export function healthOf(object: ObjectStatus, stream: StreamView | null, lagMs: number | null): Health {
  const said = object.health as Health;
  if (['failing', 'paused', 'differs', 'backfilling', 'notLoaded'].includes(said)) return said;
  if (!stream || lagMs === null) return said;
  if (lagTone(lagMs) === 'fresh' || lagTone(lagMs) === 'quiet') return 'live';
  if (stream.state === 'live' && object.backlogEvents > 0) return 'catchingUp';
  return lagTone(lagMs) === 'failing' ? 'failing' : 'behind';
}

export const healthWords: Record<Health, string> = {
  notLoaded: 'Not loaded',
  backfilling: 'Backfilling',
  loaded: 'Loaded, not counted',
  countsAgree: 'Counts agree',
  live: 'Live',
  catchingUp: 'Catching up',
  behind: 'Behind',
  differs: 'Differs',
  paused: 'Paused',
  failing: 'Failing',
};
