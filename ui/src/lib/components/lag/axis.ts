import { formatClock, formatDay, formatSeconds } from '$lib/format/time';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The ground of the logarithmic scale: what is less is drawn there. */
export const LEAST_LAG_MS = 500;

const lagSteps = [
  { at: SECOND, text: '1 s' },
  { at: 10 * SECOND, text: '10 s' },
  { at: MINUTE, text: '1 min' },
  { at: 10 * MINUTE, text: '10 min' },
  { at: HOUR, text: '1 h' },
  { at: 6 * HOUR, text: '6 h' },
  { at: DAY, text: '1 d' },
  { at: 7 * DAY, text: '7 d' },
  { at: 30 * DAY, text: '30 d' },
];

/** The top of the lag axis: a round duration above the greatest value, never below ten minutes. */
export function lagTop(greatestMs: number): number {
  return lagSteps.find((step) => step.at >= Math.max(10 * MINUTE, greatestMs * 1.05))?.at ?? 30 * DAY;
}

/** The round durations on the lag axis up to `top`. */
export function lagTicks(top: number): number[] {
  return lagSteps.map((step) => step.at).filter((at) => at <= top);
}

export function lagTickText(ms: number): string {
  return lagSteps.find((step) => step.at === ms)?.text ?? '';
}

/** The least round number (1, 2, 4, 6, 10 times a power of ten) that is not below the value. */
export function roundTop(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return ([1, 2, 4, 6, 10].find((step) => step * power >= value) ?? 10) * power;
}

const timeSteps = [
  SECOND * 10,
  SECOND * 30,
  MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  30 * MINUTE,
  HOUR,
  2 * HOUR,
  4 * HOUR,
  6 * HOUR,
  DAY,
  2 * DAY,
  5 * DAY,
];

/** Four to eight round moments between two times, round on the reader's clock. */
export function timeTicks(from: number, until: number): number[] {
  const step = timeSteps.find((candidate) => (until - from) / candidate <= 8) ?? 10 * DAY;
  const offset = new Date(from).getTimezoneOffset() * MINUTE;
  const ticks = [];
  // A label at the very end would be cut off.
  const last = until - (until - from) * 0.02;
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= last; at += step) ticks.push(at);
  return ticks;
}

/** A moment on the time axis: seconds in short spans, days in long ones. */
export function timeTickText(at: number, spanMs: number): string {
  if (spanMs <= 10 * MINUTE) return formatSeconds(at);
  return spanMs <= 2 * DAY ? formatClock(at) : formatDay(at);
}
