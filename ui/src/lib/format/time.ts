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

/** When something happened, to the millisecond: `14:32:05.812`; with its day when that was before today. */
export function formatExact(at: string | number, now: number): string {
  const then = new Date(at);
  const isToday = then.toDateString() === new Date(now).toDateString();
  const seconds = `${formatSeconds(at)}.${String(then.getMilliseconds()).padStart(3, '0')}`;
  return isToday ? seconds : `${formatDay(at)} ${seconds}`;
}

/** How long ago: `just now`, `27 min ago`. */
export function formatAgo(at: string | number, now: number): string {
  const age = now - new Date(at).getTime();
  return age < 1000 ? 'just now' : `${formatAge(age)} ago`;
}

/** How long until: `in 2 min`, `in 11 h`, `tomorrow`, `now`. */
export function formatIn(at: string | number, now: number): string {
  const left = new Date(at).getTime() - now;
  if (left <= 0) return 'now';
  if (new Date(at).toDateString() === new Date(now + 86_400_000).toDateString()) return 'tomorrow';
  return `in ${formatAge(left)}`;
}

/** When something is planned: a clock up to tomorrow, with its weekday after that. */
export function formatPlanned(at: string | number, now: number): string {
  const isSoon = new Date(at).getTime() - now < 36 * 3_600_000;
  return isSoon ? formatClock(at) : `${weekdayOf.format(new Date(at))} ${formatClock(at)}`;
}

/** A time as a field for date and time takes it: the reader's clock, to the second. */
export function toLocalInput(at: number): string {
  const local = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 19);
}

/** What such a field holds, in milliseconds since the epoch; nothing where it is no time. */
export function fromLocalInput(text: string): number | undefined {
  const at = new Date(text).getTime();
  return Number.isNaN(at) ? undefined : at;
}

/** The exact time for tooltips and copies: `2026-11-12T14:05:00.000Z`. */
export function exactTime(at: string | number): string {
  return new Date(at).toISOString();
}
