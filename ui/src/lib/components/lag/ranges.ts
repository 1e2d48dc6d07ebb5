const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** How far back the charts reach. */
export const ranges = [
  { value: '1min', text: '1 min', ms: MINUTE },
  { value: '1h', text: '1 h', ms: HOUR },
  { value: '6h', text: '6 h', ms: 6 * HOUR },
  { value: '24h', text: '24 h', ms: DAY },
  { value: '7d', text: '7 d', ms: 7 * DAY },
  { value: '30d', text: '30 d', ms: 30 * DAY },
] as const;

export type Range = (typeof ranges)[number]['value'];

export function rangeMs(range: Range): number {
  return ranges.find((one) => one.value === range)?.ms ?? HOUR;
}

/** The range before (−1) or after (+1); the ends stay where they are. */
export function stepRange(range: Range, step: number): Range {
  const at = ranges.findIndex((one) => one.value === range) + step;
  return ranges[Math.min(ranges.length - 1, Math.max(0, at))]?.value ?? range;
}

/** How often a range is worth asking again, in milliseconds: about once per point, and never more than once in 2 s. */
export function refreshMs(spanMs: number): number {
  return Math.min(MINUTE, Math.max(2_000, spanMs / 300));
}
