import { formatAge } from './duration';
import { locale } from './locale';

const clockOf = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const secondsOf = new Intl.DateTimeFormat(locale, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const weekdayOf = new Intl.DateTimeFormat(locale, { weekday: 'short' });
const dayOf = new Intl.DateTimeFormat(locale, { weekday: 'short', day: 'numeric', month: 'short' });

/** The clock time of today: `14:05`. */
export function formatClock(at: string | number): string {
  return clockOf.format(new Date(at));
}

/** The clock time with seconds: `14:31:28`. */
export function formatSeconds(at: string | number): string {
  return secondsOf.format(new Date(at));
}

/** A day: `Thu 12 Nov`, in the order of the reader's locale. */
export function formatDay(at: string | number): string {
  return dayOf.format(new Date(at)).replaceAll(',', '');
}

/** When something happened: clock today, weekday within a week, date before that. */
export function formatWhen(at: string | number, now: number): string {
  const then = new Date(at);
  const today = new Date(now);
  if (then.toDateString() === today.toDateString()) return formatSeconds(at);
  if (now - then.getTime() < 6 * 86_400_000) return `${weekdayOf.format(then)} ${formatSeconds(at)}`;
  return `${formatDay(at)} ${formatClock(at)}`;
}

/** How long ago: `just now`, `27 min ago`. */
export function formatAgo(at: string | number, now: number): string {
  const age = now - new Date(at).getTime();
  return age < 1000 ? 'just now' : `${formatAge(age)} ago`;
}

/** The exact time for tooltips and copies: `2026-11-12T14:05:00.000Z`. */
export function exactTime(at: string | number): string {
  return new Date(at).toISOString();
}
